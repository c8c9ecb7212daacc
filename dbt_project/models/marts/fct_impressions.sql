{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_stale_days('fct_impressions', 'event_day') }}",
        post_hook="{{ record_built_days('fct_impressions') }}"
    )
}}

with

impressions as (

    select *
    from {{ ref('stg_impressions') }}
    where
        event_day in ({{ days_to_build('fct_impressions') }})
        and {{ near_days_to_build('fct_impressions', 'occurred_at') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

clicks as (

    select * from {{ ref('int_clicks') }}

),

conversions as (

    select
        impression_id,
        sum(value) as conversion_value

    from {{ ref('int_attributed_conversions') }}
    group by impression_id

),

data_window as (

    select * from {{ ref('int_data_window') }}

),

joined as (

    select
        impressions.*,
        users.user_id as consenting_user_id,
        users.segment_id,
        campaigns.product_id,
        clicks.clicked_at,
        conversions.impression_id is not null as is_converted,
        conversions.conversion_value,
        impressions.event_day <= data_window.matured_through as is_matured,
        impressions.event_day <= data_window.matured_through
        and data_window.has_conversions
        and users.user_id is not null as is_conversion_known

    from impressions
    cross join data_window
    left join users using (user_id)
    left join campaigns using (campaign_id)
    left join clicks using (impression_id)
    left join conversions using (impression_id)

)

select
    ---------- ids
    impression_id,
    consenting_user_id as user_id,
    segment_id,
    campaign_id,
    creative_id,
    product_id,

    ---------- when
    event_day,
    occurred_at,
    cast(extract(hour from occurred_at at time zone 'UTC') as integer) as hour,
    cast(isodow(occurred_at at time zone 'UTC') - 1 as integer) as weekday,

    ---------- where it was shown and how it was chosen
    placement,
    position,
    policy_version,
    propensity,
    experiment_id,
    arm,

    ---------- money
    bid,
    price,

    ---------- what came of it
    case when clicked_at is null then 0 else 1 end as clicked,
    epoch_us(clicked_at - occurred_at) / 1e6 as click_delay_seconds,
    case when is_conversion_known then cast(is_converted as integer) end as converted,
    case when is_conversion_known then coalesce(conversion_value, 0) end as conversion_value,
    is_matured

from joined
