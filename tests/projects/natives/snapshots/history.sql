{% snapshot history %}
{{ config(target_schema=target.schema, unique_key='id', strategy='check', check_cols=['name']) }}

select id, name{% if var('day') | int == 2 %}, at{% endif %}
from {{ ref('numbers') }}

{% endsnapshot %}
