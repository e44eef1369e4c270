select methods, 1 as one from {{ ref('middle') }}
