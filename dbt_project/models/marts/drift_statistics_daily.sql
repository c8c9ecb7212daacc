{%- set features = {
    'audience': 'audience',
    'age_band': 'age_band',
    'region': 'region',
    'device': 'device',
    'placement': 'placement',
    'position': 'cast(position as varchar)',
    'hour': "(hour // 4 * 4) || ' to ' || (hour // 4 * 4 + 4)",
} -%}

with

examples as (

    select * from {{ ref('training_examples') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

-- A campaign's first and last day are cut by its time zone, so their hours are no sample of a day.
whole_days as (

    select examples.*
    from examples
    left join campaigns using (campaign_id)
    where
        (campaigns.starts_on is null or examples.event_day > campaigns.starts_on)
        and (campaigns.ends_on is null or examples.event_day < campaigns.ends_on)

)

{%- for feature, level in features.items() %}

select
    event_day,
    campaign_id,
    '{{ feature }}' as feature,
    coalesce({{ level }}, 'unknown') as level,
    count(*) as impressions

from whole_days
group by all
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
