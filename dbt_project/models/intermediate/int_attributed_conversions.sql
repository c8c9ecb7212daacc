with

conversions as (

    select * from {{ ref('stg_conversions') }}

),

-- The user is null here without consent, so that nothing joins.
clicks as (

    select * from {{ ref('int_clicks') }}

)

select
    conversions.conversion_id,
    clicks.impression_id,
    conversions.value,
    conversions.occurred_at

from conversions
inner join clicks using (user_id, product_id)
where
    conversions.occurred_at >= clicks.clicked_at
    and conversions.occurred_at <= clicks.shown_at + interval {{ attribution_days() }} day
qualify
    row_number() over (
        partition by conversions.conversion_id
        order by clicks.clicked_at desc, clicks.shown_at desc, clicks.impression_id desc
    ) = 1
