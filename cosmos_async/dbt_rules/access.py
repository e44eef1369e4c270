"""
What dbt's ``grant_access_to`` makes of a dataset's access list: pure.

Entries are BigQuery's REST ones; the one that dbt adds names its role even where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def has_entry(access: Sequence[Json], wanted: Json) -> bool:
    """Return whether a list has an entry already, in dbt's eyes."""
    return any(
        existing.get("role") == wanted.get("role")
        and _entity(existing) == _entity(wanted)
        # An entry that BigQuery says more of, such as a condition, is another one.
        and all(name in wanted and wanted[name] == value for name, value in existing.items())
        for existing in access
    )


def _entity(entry: Json) -> str | None:
    """Return what kind of thing an entry lets in: ``view``, ``userByEmail``, ..."""
    kinds = [name for name in entry if name not in ("role", "condition")]
    return kinds[-1] if kinds else None
