{{ config(unique_key='id', on_schema_change='ignore') }}
select id, name, kind{{ ", cast(id as string) as text" if var('model') | int == 2 }}
from {{ ref('numbers') }} where id > 1
