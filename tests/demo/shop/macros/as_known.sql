{#- The newest version of each row that was known by the evening of the day. -#}
{% macro as_known(relation, key) %}
select *
from {{ relation }}
where known_day <= {{ var('day') }}
qualify row_number() over (partition by {{ key }} order by known_day desc) = 1
{% endmacro %}
