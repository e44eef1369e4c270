select * from {{ source('elsewhere', 'gone') }}
