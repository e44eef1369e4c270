{{ config(materialized='table') }}
select
    {%- for method in values_of(ref('paid'), 'method') %}
    sum(if(method = '{{ method }}', amount, 0)) as {{ method }}_amount,
    {%- endfor %}
    count(*) as n
from {{ ref('paid') }}
