{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_stale_days('user_features', 'feature_day') }}",
        post_hook="{{ record_built_days('user_features') }}"
    )
}}

{%- set lookback = 28 + (attribution_days() | int) -%}

with

feature_days as (

    select day as feature_day from ({{ days_to_build('user_features') }})

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

impressions as (

    select *
    from {{ ref('fct_impressions') }}
    where user_id is not null and {{ near_days_to_build('user_features', 'event_day', before=lookback) }}

),

conversions as (

    select *
    from {{ ref('stg_conversions') }}
    where {{ near_days_to_build('user_features', 'occurred_at', before=lookback) }}

),

data_window as (

    select * from {{ ref('int_data_window') }}

),

-- Each event counts on its own day: a click after midnight was not known the day its ad was shown.
events as (

    select user_id, event_day as day, 1 as impressions, 0 as clicks, 0 as conversions from impressions
    union all
    select user_id, {{ utc_day("occurred_at + to_microseconds(cast(click_delay_seconds * 1e6 as bigint))") }}, 0, 1, 0
    from impressions
    where clicked = 1
    union all
    select user_id, event_day, 0, 0, 1 from conversions inner join users using (user_id)

),

daily as (

    select
        user_id,
        day,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(conversions) as conversions

    from events
    group by user_id, day

),

counted as (

    select
        daily.user_id,
        feature_days.feature_day,
        sum(impressions) filter ({{ as_of('day', 'feature_day', 7) }}) as user_impressions_7d,
        sum(clicks) filter ({{ as_of('day', 'feature_day', 7) }}) as user_clicks_7d,
        sum(clicks) as user_clicks_28d,
        sum(conversions) as user_conversions_28d,
        feature_days.feature_day - max(day) filter (clicks > 0) as user_days_since_click

    from daily
    inner join feature_days on {{ as_of('daily.day', 'feature_days.feature_day', 28) }}
    group by daily.user_id, feature_days.feature_day

)

select
    users.user_id,
    feature_days.feature_day,
    cast(feature_days.feature_day - users.registered_on as integer) as tenure_days,
    cast(coalesce(user_impressions_7d, 0) as integer) as user_impressions_7d,
    cast(coalesce(user_clicks_7d, 0) as integer) as user_clicks_7d,
    cast(coalesce(user_clicks_28d, 0) as integer) as user_clicks_28d,
    -- Unknown, not none, as long as no conversion of anyone has ever been seen.
    case
        when {{ as_of('data_window.first_conversion_day', 'feature_days.feature_day') }}
            then cast(coalesce(user_conversions_28d, 0) as integer)
    end as user_conversions_28d,
    cast(user_days_since_click as integer) as user_days_since_click

from feature_days
cross join data_window
inner join users on {{ as_of('users.registered_on', 'feature_days.feature_day') }}
left join counted using (user_id, feature_day)
