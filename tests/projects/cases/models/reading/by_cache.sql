select '{{ "there" if load_relation(ref("plain_table")) else "missing" }}' as plain, '{{ load_relation(this) is not none }}' as known
