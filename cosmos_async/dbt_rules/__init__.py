"""What dbt makes of answers, rows, columns, grants and partitions: its rules, computed as it computes them. Pure."""
