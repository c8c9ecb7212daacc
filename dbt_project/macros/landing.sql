{#- The Parquet files of a landing table, or an empty relation of the same columns and types where none has landed:
    Open Bandit data, for one, has no conversions and no experiments. -#}
{% macro landing(table) %}
    {%- set relation = source('landing', table) -%}
    {%- if not execute -%}
        {{ relation }}
    {%- else -%}
        {%- set node = (graph.sources.values() | selectattr('name', 'equalto', table) | list)[0] -%}
        {%- set files = run_query("select count(*) from glob('" ~ node.config.meta.files ~ "')") -%}
        {%- if files.columns[0].values()[0] > 0 -%}
            {{ relation }}
        {%- else -%}
            (
                select
                    {%- for column in node.columns.values() %}
                    cast(null as {{ column.data_type }}) as {{ column.name }}{{ "," if not loop.last }}
                    {%- endfor %}
                where false
            )
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
