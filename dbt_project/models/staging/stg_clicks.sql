with

source as (

    select * from {{ landing('clicks') }}

),

renamed as (

    select
        ---------- ids
        click_id,
        impression_id,

        ---------- when
        occurred_at,
        {{ utc_day('occurred_at') }} as event_day,
        landed_at

    from source

)

select * from renamed
