{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_stale_days('training_examples', 'event_day') }}",
        post_hook="{{ record_built_days('training_examples') }}"
    )
}}

with

impressions as (

    select *
    from {{ ref('fct_impressions') }}
    where
        event_day in ({{ days_to_build('training_examples') }})
        and {{ near_days_to_build('training_examples', 'event_day') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

creatives as (

    select * from {{ ref('dim_creatives') }}

),

user_features as (

    select *
    from {{ ref('user_features') }}
    where {{ near_days_to_build('training_examples', 'feature_day') }}

),

exposures as (

    select *
    from {{ ref('user_creative_exposures') }}
    where {{ near_days_to_build('training_examples', 'feature_day') }}

)

select
    ---------- ids
    impressions.impression_id,
    impressions.event_day,
    impressions.campaign_id,
    impressions.user_id,
    impressions.segment_id,

    ---------- how it was chosen
    impressions.policy_version,
    impressions.propensity,
    impressions.experiment_id,
    impressions.arm,
    impressions.is_matured,

    ---------- features, in the order of contracts.features.FEATURES
    users.audience,
    users.age_band,
    users.region,
    users.device,
    impressions.placement,
    creatives.product_category,
    creatives.tone,
    creatives.appeal,
    impressions.creative_id,
    impressions.hour,
    impressions.weekday,
    impressions.position,
    user_features.tenure_days,
    user_features.user_impressions_7d,
    user_features.user_clicks_7d,
    user_features.user_clicks_28d,
    user_features.user_conversions_28d,
    user_features.user_days_since_click,
    case when impressions.user_id is not null then coalesce(exposures.creative_exposures_7d, 0) end
        as creative_exposures_7d,

    ---------- labels
    impressions.clicked,
    impressions.converted,
    impressions.conversion_value,
    impressions.price

from impressions
left join users using (user_id)
left join creatives using (creative_id)
left join user_features
    on impressions.user_id = user_features.user_id and impressions.event_day = user_features.feature_day
left join exposures
    on
        impressions.user_id = exposures.user_id
        and impressions.creative_id = exposures.creative_id
        and impressions.event_day = exposures.feature_day
