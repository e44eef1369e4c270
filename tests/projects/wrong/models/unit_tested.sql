select id, {{ var('day') }} as day from {{ ref('good') }}
