{{ config(unique_key='id', on_schema_change='fail') }}
select id, name, kind
from {{ ref('numbers') }} where id > 1
