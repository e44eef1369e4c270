select '{{ first_column("select table_name from " ~ target.schema ~ ".INFORMATION_SCHEMA.TABLES") | first }}' as name
