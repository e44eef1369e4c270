select '{{ first_column("select max(name) from " ~ ref('merged')) | first }}' as name
