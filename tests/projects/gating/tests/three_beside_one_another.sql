-- depends_on: {{ ref('left') }}
-- depends_on: {{ ref('right') }}
-- depends_on: {{ ref('side') }}
select 1 as id from (select 1) where false
