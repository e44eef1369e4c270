select id, name from {{ ref('good') }}
