select id from {{ ref('child') }} union all select id from {{ ref('lone') }}
