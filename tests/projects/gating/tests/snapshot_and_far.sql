-- depends_on: {{ ref('history') }}
-- depends_on: {{ ref('far') }}
select 1 as id from (select 1) where false
