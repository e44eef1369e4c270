select kind, sum(amount) as amount from {{ ref('items') }} group by kind
