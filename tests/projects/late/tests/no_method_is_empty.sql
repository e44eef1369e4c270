select 1 as one
from (select '{{ values_of(ref("paid"), "method") | join(",") }}' as methods)
where methods = ''
