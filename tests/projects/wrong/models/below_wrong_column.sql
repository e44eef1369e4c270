select * from {{ ref('wrong_column') }}
