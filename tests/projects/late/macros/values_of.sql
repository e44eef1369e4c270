{#- The values of a column, in their order; dbt_utils.get_column_values does the same. -#}
{% macro values_of(relation, column) %}
    {% if execute %}
        {% set found = run_query('select distinct ' ~ column ~ ' as v from ' ~ relation ~ ' order by 1') %}
        {{ return(found.columns[0].values()) }}
    {% endif %}
    {{ return([]) }}
{% endmacro %}
