selec id from {{ ref('good') }}
