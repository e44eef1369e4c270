select nothing_there from {{ ref('good') }}
