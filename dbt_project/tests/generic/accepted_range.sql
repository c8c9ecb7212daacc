{% test accepted_range(model, column_name, low=none, high=none, above=none) %}

select {{ column_name }}
from {{ model }}
where
    {{ column_name }} is not null
    and not (
        isfinite(cast({{ column_name }} as double))
        {%- if low is not none %} and {{ column_name }} >= {{ low }}{% endif %}
        {%- if above is not none %} and {{ column_name }} > {{ above }}{% endif %}
        {%- if high is not none %} and {{ column_name }} <= {{ high }}{% endif %}
    )

{% endtest %}
