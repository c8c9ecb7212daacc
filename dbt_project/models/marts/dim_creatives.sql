with

creatives as (

    select * from {{ ref('int_creatives') }}

)

select
    creative_id,
    campaign_id,
    product_id,
    product_category,
    headline,
    tone,
    appeal,
    objective

from creatives
