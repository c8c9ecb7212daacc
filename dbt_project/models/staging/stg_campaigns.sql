with

source as (

    select * from {{ landing('campaigns') }}

),

renamed as (

    select
        ---------- ids
        campaign_id,
        product_id,

        ---------- what is advertised
        product_name,
        product_category,
        objective,

        ---------- money
        daily_budget,
        target_cost,
        currency,

        ---------- when
        timezone,
        starts_on,
        ends_on,
        landed_at

    from source

)

select * from renamed
