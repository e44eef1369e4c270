{{ config(materialized="view") }} select "{{ target.priority or "any" }}" as priority
