{% test same_rows_as(model, to) %}

select *
from (select count(*) as ours from {{ model }})
cross join (select count(*) as theirs from {{ to }})
where ours != theirs

{% endtest %}
