{{ config(materialized='table') }}
select id, kind, name{{ ", struct(id as zone, kind as age) as person, name as zeal, kind as aim" if var('model') | int == 2 }}
from {{ ref('numbers') }}
