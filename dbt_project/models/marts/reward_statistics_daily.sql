{#- A single decision may not weigh more than this: propensities are logged, and one that is wrong must not be the day. -#}
{%- set largest_weight = 100 -%}

with

examples as (

    select
        *,
        case
            when creative_exposures_7d is null then 5
            when creative_exposures_7d < 1 then 0
            when creative_exposures_7d < 3 then 1
            when creative_exposures_7d < 6 then 2
            when creative_exposures_7d < 12 then 3
            else 4
        end as exposure_band,
        case when experiment_id is null and propensity > 0 then least(1 / propensity, {{ largest_weight }}) end as weight

    from {{ ref('training_examples') }}

)

select
    event_day,
    creative_id,
    coalesce(placement, 'unknown') as placement,
    exposure_band,
    count(*) as impressions,
    cast(sum(clicked) as bigint) as clicks,
    coalesce(sum(weight), 0) as weight,
    coalesce(sum(weight * clicked), 0) as weighted_clicks,
    coalesce(sum(weight * weight * clicked), 0) as squared_clicks,
    cast(coalesce(sum(clicked) filter (converted is not null), 0) as bigint) as matured_clicks,
    cast(coalesce(sum(converted) filter (clicked = 1), 0) as bigint) as conversions,
    coalesce(sum(conversion_value) filter (clicked = 1), 0) as conversion_value

from examples
group by event_day, creative_id, coalesce(placement, 'unknown'), exposure_band
