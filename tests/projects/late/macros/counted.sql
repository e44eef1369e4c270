{#- A materialization that reads what it has just written. -#}
{% materialization counted, adapter='bigquery' %}
    {%- set target_relation = api.Relation.create(
        database=database, schema=schema, identifier=this.identifier, type='table'
    ) -%}
    {%- set count_relation = api.Relation.create(
        database=database, schema=schema, identifier=this.identifier ~ '_count', type='table'
    ) -%}
    {% call statement('main') %}create or replace table {{ target_relation }} as {{ sql }}{% endcall %}
    {% set rows = run_query('select count(*) as n from ' ~ target_relation).columns[0].values()[0] %}
    {% call statement('count') %}create or replace table {{ count_relation }} as select {{ rows }} as n{% endcall %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
