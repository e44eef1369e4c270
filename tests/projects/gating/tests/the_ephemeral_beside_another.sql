-- depends_on: {{ ref('mid') }}
-- depends_on: {{ ref('right') }}
select 1 as id from (select 1) where false
