select * from {{ ref('numbers') }} where name = ''
