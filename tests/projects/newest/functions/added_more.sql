{{ 'x + 2' if var('day') | int != 2 else 'x + no_such_column' }}
