{%- set smoothing = 0.5 -%}

with

counts as (

    select * from {{ ref('int_feature_counts') }}

),

first_day as (

    select min(event_day) as day from counts

),

marked as (

    select
        counts.*,
        counts.event_day < first_day.day + 7 as is_reference

    from counts
    cross join first_day

),

-- A number's bin is the tenth of the reference below it; numbers above all of the reference fall in an eleventh.
ranked as (

    select
        feature,
        number,
        floor(10 * coalesce(
            sum(sum(row_count) filter (is_reference)) over (
                partition by feature order by number rows between unbounded preceding and 1 preceding
            ) / sum(sum(row_count) filter (is_reference)) over (partition by feature),
            0
        )) as tenth

    from marked
    where number is not null
    group by feature, number

),

binned as (

    select
        marked.event_day,
        marked.feature,
        marked.is_reference,
        coalesce(marked.category, 'tenth ' || ranked.tenth, 'null') as bin,
        sum(marked.row_count) as row_count

    from marked
    left join ranked using (feature, number)
    group by all

),

reference as (

    select
        feature,
        bin,
        coalesce(sum(row_count) filter (is_reference), 0) as reference_rows

    from binned
    group by feature, bin

),

days as (

    select
        event_day,
        feature,
        sum(row_count) as row_count,
        sum(row_count) filter (category is null and number is null) as null_rows,
        sum(total) as total,
        sum(row_count) filter (number is not null) as number_rows

    from marked
    group by event_day, feature

),

-- Population stability index; {{ smoothing }} added to each count keeps an empty bin finite.
shares as (

    select
        days.event_day,
        days.feature,
        (coalesce(binned.row_count, 0) + {{ smoothing }})
        / (days.row_count + {{ smoothing }} * count(*) over (partition by days.event_day, days.feature)) as share,
        (reference.reference_rows + {{ smoothing }})
        / (
            sum(reference.reference_rows) over (partition by days.event_day, days.feature)
            + {{ smoothing }} * count(*) over (partition by days.event_day, days.feature)
        ) as reference_share,
        sum(reference.reference_rows) over (partition by days.event_day, days.feature) as reference_rows

    from days
    inner join reference using (feature)
    left join binned using (event_day, feature, bin)

),

stability as (

    select
        event_day,
        feature,
        any_value(reference_rows) as reference_rows,
        sum((share - reference_share) * ln(share / reference_share)) as psi_vs_reference

    from shares
    group by event_day, feature

)

select
    days.event_day,
    days.feature,
    cast(days.row_count as bigint) as rows,
    coalesce(days.null_rows, 0) / days.row_count as null_share,
    days.total / days.number_rows as mean,
    cast(stability.reference_rows as bigint) as reference_rows,
    case when stability.reference_rows > 0 and days.feature != 'weekday' then stability.psi_vs_reference end as psi_vs_reference

from days
inner join stability using (event_day, feature)
