"""
What a person wants to know beside a verdict, by group and word; an empty group is any.
"""

from __future__ import annotations

#: Arguments whose attribute in Cosmos asks for what happens here anyway, with the values that do.
AS_HERE: dict[str, str] = {
    "copy_dbt_packages": "Packages that the project brings along are found either way.",
    "force_rerun": "A retry always submits a new job, and a restart adopts the one that runs.",
    "should_store_compiled_sql": "The SQL of a node is in its log and in the XCom compiled_sql.",
    "emit_datasets": "Single commands of dbt announce nothing here.",
}

NOTES: dict[tuple[str, str], str] = {
    (
        "RenderConfig",
        "seed_rendering_behavior",
    ): "A seed is loaded where its file, its configuration or its table has changed; in Cosmos where its file has.",
    ("", "cache_dir"): "Harmless: set AIRFLOW__COSMOS_ASYNC__CACHE_DIR.",
    ("", "invocation_mode"): "Harmless: dbt is always a process of its own.",
    ("", "output_encoding"): "Harmless: dbt writes UTF-8.",
    ("", "poll_interval"): "Harmless: jobs are waited for by BigQuery's own long polls.",
    ("", "deferrable"): "Harmless: always.",
}
