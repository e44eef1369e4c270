select id + {{ 1 if var('bad_unit') | string == 'True' else 0 }} as id from {{ ref('given') }}
