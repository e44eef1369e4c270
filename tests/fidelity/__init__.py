"""Builds the same project twice, by real dbt and by us, and compares what each did."""
