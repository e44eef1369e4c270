{#- The distinct values of a column, read from the warehouse while the model compiles. -#}
{% macro column_values(relation, column) %}
    {% if not execute %}{{ return([]) }}{% endif %}
    {% set found = run_query("select distinct " ~ column ~ " from " ~ relation ~ " order by 1") %}
    {{ return(found.columns[0].values() | list) }}
{% endmacro %}
