{% macro fill_with_day(relation) %}
    {% if execute %}
        {% set there = first_column('select id from ' ~ relation ~ ' order by id') %}
        {% if var('day') not in there %}
            {% do run_query('insert into ' ~ relation ~ ' values (' ~ var('day') ~ ')') %}
        {% endif %}
    {% endif %}
{% endmacro %}
