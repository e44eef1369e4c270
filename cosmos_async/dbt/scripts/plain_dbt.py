"""Run dbt itself, which ends when its parent does: ``<dbt's python> <this folder> plain_dbt DBT_ARGUMENTS...``."""

from __future__ import annotations

from .common import follow_parent, run_dbt


def main(arguments: list[str]) -> None:
    """Run dbt's command line with *arguments* and exit with its exit code."""
    follow_parent()
    run_dbt(arguments)
