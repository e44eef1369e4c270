select
  {% for kind in first_column("select distinct kind from " ~ source('raw', 'events') ~ " order by kind") %}
  countif(kind = '{{ kind }}') as {{ kind }},
  {% endfor %}
  count(*) as events
from {{ source('raw', 'events') }}
