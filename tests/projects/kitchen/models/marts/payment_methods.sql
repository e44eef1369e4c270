{#- The columns depend on the data: what dbt compiles is known only when stg_payments exists. -#}
select
    order_id,
    {%- for method in column_values(ref('stg_payments'), 'method') %}
    sum(if(method = '{{ method }}', amount, 0)) as {{ method }}_amount,
    {%- endfor %}
    sum(amount) as total
from {{ ref('stg_payments') }}
group by order_id
