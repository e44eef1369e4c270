select max(total) as total, count(*) as rows_read from {{ ref('inlined') }}
