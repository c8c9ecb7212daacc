{#- Days after an impression in which its click and its conversion count. -#}
{% macro attribution_days() -%}
    {{ env_var('DBT_ADPLATFORM_ATTRIBUTION_DAYS', '3') | int }}
{%- endmacro %}

{#- The UTC day of a timestamp, whatever the session's zone. -#}
{% macro utc_day(timestamp) -%}
    cast(({{ timestamp }}) at time zone 'UTC' as date)
{%- endmacro %}

{#- The as-of condition, the only one: what happened on `day` was known when `feature_day` began (strictly before it), and
    is at most `days` days old. -#}
{% macro as_of(day, feature_day, days=none) -%}
    ({{ day }} < {{ feature_day }}{% if days %} and {{ day }} >= {{ feature_day }} - {{ days }}{% endif %})
{%- endmacro %}
