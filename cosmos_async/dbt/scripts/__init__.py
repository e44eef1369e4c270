"""Scripts for dbt's own interpreter, which may know nothing of this package: the standard library and dbt only."""
