{#- A day with under a fifth or over five times the median day's rows: a delivery that is cut short, or sent twice. -#}
{% test day_rows_steady(model, column_name, factor=5) %}

with

days as (

    select {{ column_name }} as day, count(*) as row_count
    from {{ model }}
    group by all

)

select *
from days
where
    row_count * {{ factor }} < (select median(row_count) from days)
    or row_count > {{ factor }} * (select median(row_count) from days)

{% endtest %}
