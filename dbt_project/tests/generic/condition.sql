{% test condition(model, holds) %}

select *
from {{ model }}
where not coalesce({{ holds }}, false)

{% endtest %}
