with

clicks as (

    select * from {{ ref('stg_clicks') }}

),

impressions as (

    select * from {{ ref('stg_impressions') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

first_clicks as (

    select
        impressions.impression_id,
        any_value(impressions.user_id) as user_id,
        any_value(impressions.campaign_id) as campaign_id,
        any_value(impressions.occurred_at) as shown_at,
        min(clicks.occurred_at) as clicked_at

    from impressions
    inner join clicks using (impression_id)
    where
        clicks.occurred_at >= impressions.occurred_at
        and clicks.occurred_at <= impressions.occurred_at + interval {{ attribution_days() }} day
    group by impressions.impression_id

)

select
    first_clicks.impression_id,
    users.user_id,
    campaigns.product_id,
    first_clicks.shown_at,
    first_clicks.clicked_at

from first_clicks
left join campaigns using (campaign_id)
left join users using (user_id)
