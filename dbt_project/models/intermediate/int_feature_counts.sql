{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_stale_days('int_feature_counts', 'event_day') }}",
        post_hook="{{ record_built_days('int_feature_counts') }}"
    )
}}

{%- set categorical = [
    'audience', 'age_band', 'region', 'device', 'placement', 'product_category', 'tone', 'appeal', 'creative_id'
] -%}
{%- set numeric = [
    'hour', 'weekday', 'position', 'tenure_days', 'user_impressions_7d', 'user_clicks_7d', 'user_clicks_28d',
    'user_conversions_28d', 'user_days_since_click', 'creative_exposures_7d', 'clicked', 'converted'
] -%}

with

examples as (

    select *
    from {{ ref('training_examples') }}
    where
        event_day in ({{ days_to_build('int_feature_counts') }})
        and {{ near_days_to_build('int_feature_counts', 'event_day') }}

)

{%- for feature in categorical %}

select
    event_day,
    '{{ feature }}' as feature,
    {{ feature }} as category,
    cast(null as double) as number,
    count(*) as row_count,
    cast(null as double) as total

from examples
group by event_day, {{ feature }}
union all
{%- endfor %}
{%- for feature in numeric %}

select
    event_day,
    '{{ feature }}' as feature,
    cast(null as varchar) as category,
    cast({{ feature }} as double) as number,
    count(*) as row_count,
    cast({{ feature }} as double) * count(*) as total

from examples
{%- if feature == 'converted' %}
where is_matured
{%- endif %}
group by event_day, {{ feature }}
union all
{%- endfor %}

-- Prices are continuous: three significant digits keep this table small and bins right to 0.5 %.
select
    event_day,
    'price' as feature,
    cast(null as varchar) as category,
    case when price > 0 then round(price, cast(2 - floor(log10(price)) as integer)) else price end as number,
    count(*) as row_count,
    sum(price) as total

from examples
group by all
