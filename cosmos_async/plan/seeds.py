"""
Seeds that are loaded only when they have changed: what a load would write, and whether its table is as the last one left it.

Pure. A seed may be passed by only where nobody could tell the difference afterwards: the plan would write what was written,
and nothing has touched the table since. BigQuery tells the latter by the time of the table's last change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cosmos_async.plan.ids import digest
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    Step,
)

Json = dict[str, Any]

#: What dbt does for a seed, by the words of the planner; hooks and whatever a project's own macros do are not among it.
_PURPOSES = frozenset(("load", "grant", "alter table"))
_ABOUT_THE_TABLE = frozenset((NativeKind.UPDATE_COLUMNS, NativeKind.GRANTS))
#: Of BigQuery's resource of a table: they tell whether it was changed, or made anew.
_TIMES = ("creationTime", "lastModifiedTime")


@dataclass(frozen=True)
class Loaded:
    """What a seed's last load has left."""

    content: str  #: see :func:`content_of`
    table: Json  #: see :func:`state_of`

    def dump(self) -> bytes:
        """Return the record as JSON bytes."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Loaded | None:
        """Return what :meth:`dump` wrote, None where the bytes are something else: then the seed is loaded."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None


def content_of(plan: NodePlan) -> str | None:
    """
    Return a digest of all that a seed's plan writes: the file, its table's columns, description, options and grants.

    None where it has to be carried out in each run: it is planned at its turn or run by real dbt, has hooks, or does
    something else than dbt does for a seed.
    """
    if plan.resource_type != "seed" or plan.relation is None or plan.level in (Level.LATE, Level.DBT):
        return None
    written = list(_written(plan.steps, plan.relation))
    if None in written or not any(isinstance(each, dict) and each.get("upload") for each in written):
        return None
    return digest(json.dumps(written, sort_keys=True))


def _written(steps: tuple[Step, ...], relation: str) -> Iterator[Json | None]:
    """Yield what each operation writes, None for one that is about something else than the table."""
    project, dataset, table = relation.rsplit(".", 2)
    path = f"projects/{project}/datasets/{dataset}/tables/{table}"
    for step in steps:
        if isinstance(step, Guard) or (isinstance(step, JobOperation) and step.shared is not None):
            continue
        if isinstance(step, JobOperation) and step.purpose in _PURPOSES:
            # Labels name the invocation.
            configuration = {name: value for name, value in step.configuration.items() if name != "labels"}
            yield {"configuration": configuration, "upload": step.upload_digest}
        elif isinstance(step, CallOperation) and step.path == path:
            if step.method != "DELETE":  # of what was there, which is not there on a first run
                yield {"method": step.method, "body": step.body}
        elif isinstance(step, NativeOperation) and step.kind in _ABOUT_THE_TABLE:
            yield {"kind": step.kind.value, "payload": _without_labels(step.payload)}
        else:
            yield None


def _without_labels(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_labels(each) for name, each in value.items() if name != "labels"}
    return [_without_labels(each) for each in value] if isinstance(value, list) else value


def state_of(table: Json | None) -> Json | None:
    """
    Return what tells one state of a table from any other, None where BigQuery does not tell.

    Args:
        table: BigQuery's resource (``tables.get``), None where there is no table. Rows that are streamed into it are not in
            its time of change at once.
    """
    if table is None or table.get("type") != "TABLE" or table.get("streamingBuffer"):
        return None
    if table.get("expirationTime"):  # which loading it anew would put off
        return None
    state = {name: table.get(name) for name in _TIMES}
    return None if None in state.values() else state
