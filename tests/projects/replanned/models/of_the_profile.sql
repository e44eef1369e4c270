{{ config(materialized="view") }} select "{{ target.priority or "any" }}" as priority, {{ graph.nodes | length }} as nodes
