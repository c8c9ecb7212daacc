with

source as (

    select * from {{ landing('users') }}

),

renamed as (

    select
        ---------- ids
        user_id,

        ---------- what is known of the person
        audience,
        age_band,
        region,
        device,

        ---------- consent
        consent,

        ---------- when
        registered_at,
        {{ utc_day('registered_at') }} as registered_on,
        landed_at

    from source

)

select * from renamed
