{{ config(unique_key='id', on_schema_change='append_new_columns') }}
select id, name{{ ", kind" if var('model') | int == 1 }}{{ ", cast(id as string) as text" if var('model') | int == 2 }}
from {{ ref('numbers') }} where id > 1
