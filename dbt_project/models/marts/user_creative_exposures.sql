{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_stale_days('user_creative_exposures', 'feature_day') }}",
        post_hook="{{ record_built_days('user_creative_exposures') }}"
    )
}}

with

feature_days as (

    select day as feature_day from ({{ days_to_build('user_creative_exposures') }})

),

impressions as (

    select *
    from {{ ref('fct_impressions') }}
    where user_id is not null and {{ near_days_to_build('user_creative_exposures', 'event_day', before=7) }}

),

daily as (

    select
        user_id,
        creative_id,
        event_day,
        count(*) as impressions

    from impressions
    group by user_id, creative_id, event_day

)

select
    daily.user_id,
    daily.creative_id,
    feature_days.feature_day,
    cast(sum(daily.impressions) as integer) as creative_exposures_7d

from daily
inner join feature_days on {{ as_of('daily.event_day', 'feature_days.feature_day', 7) }}
group by daily.user_id, daily.creative_id, feature_days.feature_day
