{#- As JSON, dbt makes job labels of it; the local warehouse obeys the label hold_ms. -#}
{% macro job_comment(node) %}
  {%- set labels = {'app': 'corner'} -%}
  {%- if node and node.name == 'slow' and var('slow_ms', 0) | int > 0 -%}
    {%- do labels.update({'hold_ms': var('slow_ms') | string}) -%}
  {%- endif -%}
  {{ return(tojson(labels)) }}
{% endmacro %}
