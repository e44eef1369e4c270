select {% for column in adapter.get_columns_in_relation(ref('plain_table')) %}'{{ column.name }}: {{ column.dtype }}' as c{{ loop.index }}, {% endfor %} 1 as one
