{% snapshot orders_over_time %}
{{ config(strategy='check', unique_key='id', check_cols='all', schema='snapshots') }}
select * from {{ ref('stg_orders') }}
{% endsnapshot %}
