{{ config(materialized="view") }}
select "{{ target.priority or "any" }}" as priority, {% if execute %}{{ graph.nodes | length }}{% else %}0{% endif %} as nodes
