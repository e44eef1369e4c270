{# Reads which relations there are, which this very run changes. #}
select '{{ first_column("select table_name from " ~ target.schema ~ ".INFORMATION_SCHEMA.TABLES where table_name like 'plain%' order by 1") | join(", ") }}' as tables
from {{ ref('plain_table') }} join {{ ref('plain_view') }} using (id) limit 1
