select l.id from {{ ref('left') }} as l join {{ ref('colors') }} as c on c.id = l.id
