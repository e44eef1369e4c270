{% test has_at_least(model, rows) %}
select count(*) as row_count
from {{ model }}
having count(*) < {{ rows }}
{% endtest %}
