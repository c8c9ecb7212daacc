with

source as (

    select * from {{ landing('conversions') }}

),

renamed as (

    select
        ---------- ids
        conversion_id,
        user_id,
        product_id,

        ---------- money
        value,

        ---------- when
        occurred_at,
        {{ utc_day('occurred_at') }} as event_day,
        landed_at

    from source

)

select * from renamed
