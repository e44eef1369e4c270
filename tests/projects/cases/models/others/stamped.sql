{{ config(materialized='table') }}
{# Row 2 is gone on the second day, row 3 has changed; a column is new in the changed model. #}
select id, name, timestamp_add(timestamp '2024-01-01 00:00:00+00', interval if(id = 3, {{ var('day') }}, 0) day) as changed_at
    {{ ", kind" if var('model') | int == 2 }}
from {{ ref('numbers') }} {{ "where id != 2" if var('day') | int == 2 }}
