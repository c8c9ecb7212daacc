{#- How incremental models find the days to rebuild. `int_day_versions` says for each model and day a hash of all that the
    rows of that day depend on; `int_built_days` keeps the hash that the rows in the table were built from, written in the
    model's own transaction. A day whose hashes differ is deleted and inserted again; a day that is gone is deleted. So a
    late row, a restated day, a withdrawn consent and a build that failed half-way need no rule of their own. -#}

{#- Hash of the project's own models: after a change of SQL every day is stale. (Macros are not part of `graph`: after a
    change there, build with --full-refresh.) -#}
{% macro code_version() -%}
    {%- set checksums = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.package_name == project_name -%}
        {%- do checksums.append(node.name ~ node.checksum.checksum) -%}
    {%- endfor -%}
    {{ local_md5(checksums | sort | join(',')) }}
{%- endmacro %}

{% macro built_days() -%}
    {{ target.schema }}.int_built_days
{%- endmacro %}

{% macro create_built_days() %}
    create table if not exists {{ built_days() }} (model varchar, day date, version ubigint)
{% endmacro %}

{% macro stale_condition(model) -%}
    model = '{{ model }}'
    and not exists (
        from {{ built_days() }} as built
        where built.model = versions.model and built.day = versions.day and built.version = versions.version
    )
{%- endmacro %}

{#- select of `day`: every day in a full build, the stale ones in an incremental one. -#}
{% macro days_to_build(model) %}
    select versions.day
    from {{ ref('int_day_versions') }} as versions
    where {% if is_incremental() %}{{ stale_condition(model) }}{% else %}model = '{{ model }}'{% endif %}
{% endmacro %}

{#- Literal bounds on a date or timestamp column around the days to build, so that DuckDB skips files and row groups. A
    semi join on the days cannot: it is not pushed below the cast from timestamp to date. -#}
{% macro near_days_to_build(model, column, before=0, after=0) -%}
    {%- if is_incremental() and execute -%}
        {%- set query -%}
            select min(day) - {{ before }}, max(day) + {{ after }} + 1
            from {{ ref('int_day_versions') }} as versions
            where {{ stale_condition(model) }}
        {%- endset -%}
        {%- set bounds = run_query(query).rows[0] -%}
        {%- if bounds[0] is none -%}
            false
        {%- else -%}
            {{ column }} >= '{{ bounds[0] }}' and {{ column }} < '{{ bounds[1] }}'
        {%- endif -%}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Pre-hook: rows of days that are stale or gone. -#}
{% macro delete_stale_days(model, column) %}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where {{ column }} not in (
            select versions.day
            from {{ ref('int_day_versions') }} as versions
            inner join {{ built_days() }} as built using (model, day, version)
            where versions.model = '{{ model }}'
        )
    {%- endif -%}
{% endmacro %}

{#- Post-hook: what the rows were built from. -#}
{% macro record_built_days(model) %}
    delete from {{ built_days() }} where model = '{{ model }}';
    insert into {{ built_days() }}
    select model, day, version from {{ ref('int_day_versions') }} where model = '{{ model }}'
{% endmacro %}
