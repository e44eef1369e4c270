{# A custom materialization: a table that is built once and then left alone. #}
{% materialization once, adapter='bigquery' %}
    {% set existing = load_cached_relation(this) %}
    {% set target_relation = this.incorporate(type='table') %}
    {% if existing is none or should_full_refresh() %}
        {% call statement('main') %}{{ create_table_as(false, target_relation, sql) }}{% endcall %}
    {% else %}
        {% call noop_statement('main', 'KEPT', 'KEPT', 0) %}{% endcall %}
    {% endif %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
