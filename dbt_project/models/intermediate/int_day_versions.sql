{%- set attribution = attribution_days() | int -%}

with

landed_days as (

    select * from {{ ref('int_landed_days') }}

),

data_window as (

    select * from {{ ref('int_data_window') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

events as (

    select
        day,
        bit_xor(hash(landing_table, day, row_count, fingerprint)) as version,
        bit_xor(hash(day, row_count, fingerprint)) filter (where landing_table = 'impressions') as impressions_version

    from landed_days
    group by day

),

event_days as (

    select day from landed_days where landing_table = 'impressions'

),

-- One day beyond the data: the features that decisions taken next are made on.
feature_days as (

    select cast(unnest(generate_series(first_day, data_through + 1, interval 1 day)) as date) as day
    from data_window

),

registrations as (

    select
        registered_on,
        count(*) as row_count,
        bit_xor(hash(user_id, registered_on)) as version

    from users
    group by registered_on

),

user_versions as (

    select
        feature_days.day,
        hash(sum(registrations.row_count), bit_xor(registrations.version)) as version

    from feature_days
    left join registrations on {{ as_of('registrations.registered_on', 'feature_days.day') }}
    group by feature_days.day

),

-- A conversion in the window may go to another click in the window: both sides count.
impression_versions as (

    select
        event_days.day,
        hash(
            bit_xor(events.version),
            {{ attribution }},
            event_days.day <= any_value(data_window.matured_through),
            any_value(data_window.has_conversions)
        ) as version

    from event_days
    cross join data_window
    inner join events on events.day between event_days.day - {{ attribution }} and event_days.day + {{ attribution }}
    group by event_days.day

),

-- A click counts up to {{ attribution }} days after its impression, so that 28 days of clicks need that much more.
feature_versions as (

    select
        feature_days.day,
        hash(
            bit_xor(events.version),
            any_value(user_versions.version),
            {{ attribution }},
            coalesce({{ as_of('any_value(data_window.first_conversion_day)', 'feature_days.day') }}, false)
        ) as version

    from feature_days
    cross join data_window
    inner join user_versions using (day)
    left join events on {{ as_of('events.day', 'feature_days.day', 28 + attribution) }}
    group by feature_days.day

),

exposure_versions as (

    select
        feature_days.day,
        hash(bit_xor(events.impressions_version)) as version

    from feature_days
    left join events on {{ as_of('events.day', 'feature_days.day', 7) }}
    group by feature_days.day

),

example_versions as (

    select
        impression_versions.day,
        hash(impression_versions.version, feature_versions.version, exposure_versions.version) as version

    from impression_versions
    inner join feature_versions using (day)
    inner join exposure_versions using (day)

)

select
    model,
    day,
    hash(version, '{{ code_version() if execute }}') as version

from (
    select 'fct_impressions' as model, day, version from impression_versions
    union all
    select 'user_features', day, version from feature_versions
    union all
    select 'user_creative_exposures', day, version from exposure_versions
    union all
    select 'training_examples', day, version from example_versions
    union all
    select 'int_feature_counts', day, version from example_versions
)
