select id, name from {{ ref('as_view') }}
