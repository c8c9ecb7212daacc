with

creatives as (

    select * from {{ ref('stg_creatives_library') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

)

select
    creatives.creative_id,
    creatives.campaign_id,
    campaigns.product_id,
    campaigns.product_category,
    creatives.headline,
    creatives.tone,
    creatives.appeal,
    campaigns.objective

from creatives
left join campaigns using (campaign_id)
