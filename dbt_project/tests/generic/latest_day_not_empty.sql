{#- The day that the newest landing file is named after has rows: an empty delivery must not pass for a day without ads. -#}
{% test latest_day_not_empty(model, column_name, landing_table) %}

with

files as (

    select max(cast(parse_filename(file, true) as date)) as day
    from glob('{{ env_var("DBT_ADPLATFORM_LANDING") }}/{{ landing_table }}/????-??-??.parquet')

)

select files.day
from files
where not exists (from {{ model }} where {{ column_name }} = files.day)

{% endtest %}
