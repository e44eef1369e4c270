"""
What local-bigquery takes and BigQuery refuses, or does otherwise, put right within its own process.

`emulator` calls `mend` once local-bigquery is imported. Everything here runs on the warehouse environment's interpreter
and is imported by nothing else. A name that local-bigquery no longer has stops the start: another version needs another
look.
"""

from __future__ import annotations

from inside import coercion, layouts, schemas, statements


def mend() -> None:
    """Put each module's functions in the place of local-bigquery's."""
    for module in (schemas, statements, layouts, coercion):
        module.mend()
