x > (select max(id) from {{ ref('right') }})
