{% macro first_column(sql) %}
    {% if not execute %}{{ return([]) }}{% endif %}
    {{ return(run_query(sql).columns[0].values() | list) }}
{% endmacro %}
