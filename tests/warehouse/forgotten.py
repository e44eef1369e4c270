"""
What a CREATE statement says of its table and the emulator forgets; written into the table afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cosmos_async.testing.engine import Json

_NAME = r"(?P<name>`[^`]+`(?:\.`[^`]+`)*|[\w.-]+)"
_RANGE = re.compile(
    rf"""
    \bcreate\s+(?:or\s+replace\s+)?table\s+(?:if\s+not\s+exists\s+)? {_NAME} [^;]*?
    \bpartition\s+by\s+range_bucket\(\s*`?(?P<field>\w+)`?\s*,\s*
    generate_array\(\s*(?P<start>-?\d+)\s*,\s*(?P<end>-?\d+)\s*,\s*(?P<interval>\d+)\s*\)\s*\)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MATERIALIZED = re.compile(
    rf"\bcreate\s+(?:or\s+replace\s+)?materialized\s+view\s+(?:if\s+not\s+exists\s+)?{_NAME}(?P<rest>[^;]*)",
    re.IGNORECASE,
)
_ALTERED = re.compile(
    rf"""
    \s* (?:/\*.*?\*/\s*)? alter\s+materialized\s+view\s+ (?:if\s+exists\s+)? {_NAME} \s+
    set\s+options\s*\( (?P<rest>.*) \) \s*;?\s*
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_MINUTES = re.compile(r"\brefresh_interval_minutes\s*=\s*([\d.]+)", re.IGNORECASE)
_REFRESH = re.compile(r"\benable_refresh\s*=\s*(true|false)", re.IGNORECASE)
_USUAL_MINUTES = 30


class Forgotten(NamedTuple):
    """What is to be written into one table."""

    project_id: str  #: empty where the statement names none
    dataset_id: str
    table_id: str
    changes: Json  #: the body for tables.patch


def forgotten(sql: str) -> Iterator[Forgotten]:
    """Yield what the statements of *sql* say and the emulator forgets."""
    yield from integer_partitions(sql)
    yield from refreshes(sql)


def integer_partitions(sql: str) -> Iterator[Forgotten]:
    """
    Yield the tables created with `partition by range_bucket(…)`.

    The emulator takes them for tables partitioned by day; dbt's `is_replaceable` would find another partitioning than
    the model's and drop the table before each build.
    """
    for match in _RANGE.finditer(sql):
        limits = {key: match[key] for key in ("start", "end", "interval")}
        partitioning = {"field": match["field"], "range": limits}
        yield Forgotten(*_ids(match["name"]), {"rangePartitioning": partitioning, "timePartitioning": None})


def refreshes(sql: str) -> Iterator[Forgotten]:
    """
    Yield the materialized views and how often they are refreshed.

    dbt reads the interval back to find out whether a view's configuration has changed.
    """
    for match in _MATERIALIZED.finditer(sql):
        minutes = _MINUTES.search(match["rest"])
        refresh = _REFRESH.search(match["rest"])
        interval_ms = int(float(minutes[1] if minutes else _USUAL_MINUTES) * 60_000)
        enabled = refresh is None or refresh[1].lower() == "true"
        query = re.split(r"\bas\b", match["rest"], maxsplit=1, flags=re.IGNORECASE)[-1].strip()
        view = {"enableRefresh": enabled, "refreshIntervalMs": str(interval_ms), "query": query}
        yield Forgotten(*_ids(match["name"]), {"materializedView": view})


def altered(sql: str) -> Forgotten | None:
    """
    Return what `alter materialized view ... set options(...)` changes, None for any other statement.

    The emulator does not know the statement. Only how the view is refreshed can be changed.
    """
    match = _ALTERED.fullmatch(sql)
    if match is None:
        return None
    minutes, refresh = _MINUTES.search(match["rest"]), _REFRESH.search(match["rest"])
    view: Json = {}
    if minutes:
        view["refreshIntervalMs"] = str(int(float(minutes[1]) * 60_000))
    if refresh:
        view["enableRefresh"] = refresh[1].lower() == "true"
    return Forgotten(*_ids(match["name"]), {"materializedView": view})


def _ids(name: str) -> tuple[str, str, str]:
    project_id, dataset_id, table_id = ["", "", *name.replace("`", "").split(".")][-3:]
    return project_id, dataset_id, table_id
