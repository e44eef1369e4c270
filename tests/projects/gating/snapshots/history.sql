{% snapshot history %}
{{ config(target_schema='gating', unique_key='id', strategy='check', check_cols=['id']) }}
select id from {{ ref('left') }}
{% endsnapshot %}
