select id from {{ ref('mid') }} union all select id from {{ ref('right') }}
