with

impressions as (

    select * from {{ ref('fct_impressions') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

)

select
    impressions.campaign_id,
    cast(impressions.occurred_at at time zone campaigns.timezone as date) as budget_day,
    count(*) as impressions,
    cast(sum(impressions.clicked) as bigint) as clicks,
    -- A budget day may span two UTC days: it is matured when both are.
    case when bool_and(impressions.is_matured) then cast(sum(impressions.converted) as bigint) end as conversions,
    case when bool_and(impressions.is_matured) then sum(impressions.conversion_value) end as conversion_value,
    sum(impressions.price) as spend,
    any_value(campaigns.daily_budget) as budget

from impressions
inner join campaigns using (campaign_id)
group by impressions.campaign_id, budget_day
