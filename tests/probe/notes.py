"""
What a person wants to know beside a verdict, by group and word; an empty group is any.
"""

from __future__ import annotations

NOTES: dict[tuple[str, str], str] = {
    ("", "copy_dbt_packages"): "Harmless: packages are always copied.",
    ("", "cache_dir"): "Harmless: set AIRFLOW__COSMOS_ASYNC__CACHE_DIR.",
    ("", "invocation_mode"): "Harmless: dbt is always a process of its own.",
    ("", "output_encoding"): "Harmless: dbt writes UTF-8.",
    ("", "should_store_compiled_sql"): "The SQL is in the log, not among rendered templates.",
    ("", "poll_interval"): "Harmless: jobs are waited for by BigQuery's own long polls.",
    ("", "deferrable"): "Harmless: always.",
}
