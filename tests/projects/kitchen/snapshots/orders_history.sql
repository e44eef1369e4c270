{% snapshot orders_history %}
{{
    config(
        unique_key='order_id',
        strategy='check',
        check_cols=['status', 'amount'],
    )
}}
select order_id, status, amount
from {{ ref('stg_orders') }}
{% endsnapshot %}
