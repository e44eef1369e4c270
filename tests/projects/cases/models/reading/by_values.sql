select id{% for kind in first_column('select distinct name from ' ~ ref('numbers') ~ ' where id < 4 order by name') %}, '{{ kind }}' as c{{ loop.index }}{% endfor %}
from {{ ref('numbers') }}
