select id from {{ ref('side') }}
