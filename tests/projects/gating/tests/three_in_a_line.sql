-- depends_on: {{ ref('left') }}
-- depends_on: {{ ref('mid') }}
-- depends_on: {{ ref('top') }}
select 1 as id from (select 1) where false
