with

impressions as (

    select * from {{ ref('fct_impressions') }}

)

select
    segment_id,
    creative_id,
    campaign_id,
    count(distinct user_id) as users,
    count(*) as impressions,
    cast(sum(clicked) as bigint) as clicks,
    cast(sum(converted) as bigint) as conversions,
    sum(conversion_value) as conversion_value,
    sum(price) as spend

from impressions
where is_matured and segment_id is not null
group by segment_id, creative_id, campaign_id
