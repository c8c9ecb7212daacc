with

impressions as (

    select * from {{ ref('stg_impressions') }}

),

clicks as (

    select * from {{ ref('stg_clicks') }}

),

conversions as (

    select * from {{ ref('stg_conversions') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

creatives as (

    select * from {{ ref('int_creatives') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

impression_days as (

    select
        'impressions' as landing_table,
        impressions.event_day as day,
        count(*) as row_count,
        max(impressions.landed_at) as last_landed_at,
        bit_xor(hash(
            impressions.impression_id, impressions.user_id, impressions.campaign_id, impressions.creative_id,
            impressions.experiment_id, impressions.placement, impressions.position, impressions.policy_version,
            impressions.propensity, impressions.arm, impressions.bid, impressions.price, impressions.occurred_at,
            users.version, creatives.version, campaigns.product_id
        )) as fingerprint

    from impressions
    left join (select user_id, hash(users) as version from users) as users using (user_id)
    left join (select creative_id, hash(creatives) as version from creatives) as creatives using (creative_id)
    left join campaigns using (campaign_id)
    group by impressions.event_day

),

click_days as (

    select
        'clicks' as landing_table,
        event_day as day,
        count(*) as row_count,
        max(landed_at) as last_landed_at,
        bit_xor(hash(click_id, impression_id, occurred_at)) as fingerprint

    from clicks
    group by event_day

),

conversion_days as (

    select
        'conversions' as landing_table,
        conversions.event_day as day,
        count(*) as row_count,
        max(conversions.landed_at) as last_landed_at,
        bit_xor(hash(
            conversions.conversion_id, conversions.user_id, conversions.product_id, conversions.value,
            conversions.occurred_at, users.user_id is not null
        )) as fingerprint

    from conversions
    left join users using (user_id)
    group by conversions.event_day

)

select * from impression_days
union all
select * from click_days
union all
select * from conversion_days
