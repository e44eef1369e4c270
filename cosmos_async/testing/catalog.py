"""
Datasets and tables in memory: the catalog used when no emulator stands behind.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from cosmos_async.testing.answers import etag, merged
from cosmos_async.testing.engine import ApiError, Json
from cosmos_async.testing.rows import rest_rows

#: What stays when a resource is replaced (PUT).
FIXED = ("kind", "id", "selfLink", "datasetReference", "tableReference", "creationTime", "location", "type",
         "numRows", "numBytes", "access")  # fmt: skip


class MemoryCatalog:
    """
    A `Catalog` in memory. Every project exists; datasets have to be made.

    Args:
        location: Where a dataset lies that names no location.
        clock: The wall clock in seconds.
    """

    def __init__(self, *, location: str = "US", clock: Callable[[], float] = time.time) -> None:
        self._location = location
        self._clock = clock
        self._datasets: dict[tuple[str, str], Json] = {}
        self._tables: dict[tuple[str, str, str], Json] = {}
        self._rows: dict[tuple[str, str, str], list[Json]] = {}
        self._routines: dict[tuple[str, str], list[Json]] = {}

    # What tests and the scripted engine use directly.

    def dataset(self, project_id: str, dataset_id: str) -> Json | None:
        """Return a dataset or None."""
        return self._datasets.get((project_id, dataset_id))

    def table(self, project_id: str, dataset_id: str, table_id: str) -> Json | None:
        """Return a table or None."""
        return self._tables.get((project_id, dataset_id, table_id))

    def tables(self) -> list[str]:
        """Return the names of all tables and views, as project.dataset.table, without anonymous results."""
        return sorted(".".join(path) for path in self._tables if not path[1].startswith("_"))

    def put_dataset(self, project_id: str, dataset_id: str, **properties: Any) -> Json:
        """Create a dataset or change one."""
        now = str(int(self._clock() * 1000))
        before = self._datasets.get((project_id, dataset_id)) or {
            "datasetReference": {"projectId": project_id, "datasetId": dataset_id},
            "location": self._location,
            "type": "DEFAULT",
            "access": [],
            "creationTime": now,
        }
        dataset = _stamped(merged(before, properties), now)
        self._datasets[project_id, dataset_id] = dataset
        return dataset

    def put_table(
        self, project_id: str, dataset_id: str, table_id: str, *, rows: Sequence[Any] = (), **properties: Any
    ) -> Json:
        """Create a table, or replace one altogether; its dataset must exist."""
        dataset = self._need_dataset(project_id, dataset_id)
        now = str(int(self._clock() * 1000))
        path = (project_id, dataset_id, table_id)
        before = self._tables.get(path, {})
        table: Json = {
            "tableReference": {"projectId": project_id, "datasetId": dataset_id, "tableId": table_id},
            "type": "TABLE",
            "location": dataset["location"],
            "creationTime": before.get("creationTime", now),
            **properties,
        }
        fields = table.get("schema", {}).get("fields", [])
        self._rows[path] = rest_rows(fields, rows)
        if table["type"] in ("TABLE", "MATERIALIZED_VIEW", "SNAPSHOT", "CLONE"):
            size = sum(len(str(row)) for row in self._rows[path])
            table.setdefault("numRows", str(len(rows)))
            table.setdefault("numBytes", str(size))
        self._tables[path] = _stamped(table, now)
        return self._tables[path]

    def stored_rows(self, project_id: str, dataset_id: str, table_id: str) -> list[Json]:
        """Return the rows of a table in REST shape."""
        return list(self._rows[project_id, dataset_id, table_id])

    def remove_table(self, project_id: str, dataset_id: str, table_id: str) -> None:
        """Delete a table or view; a missing one is refused with 404."""
        self._need_table(project_id, dataset_id, table_id)
        del self._tables[project_id, dataset_id, table_id]
        del self._rows[project_id, dataset_id, table_id]

    def remove_dataset(self, project_id: str, dataset_id: str, *, contents: bool) -> None:
        """Delete a dataset; one with tables only with *contents*."""
        self._need_dataset(project_id, dataset_id)
        inside = [path for path in self._tables if path[:2] == (project_id, dataset_id)]
        if inside and not contents:
            raise ApiError(400, "resourceInUse", f"Dataset {project_id}:{dataset_id} is still in use")
        for path in inside:
            del self._tables[path], self._rows[path]
        self._routines.pop((project_id, dataset_id), None)
        del self._datasets[project_id, dataset_id]

    def add_routine(self, project_id: str, dataset_id: str, routine_id: str, **properties: Any) -> None:
        """Create a routine."""
        self._need_dataset(project_id, dataset_id)
        reference = {"projectId": project_id, "datasetId": dataset_id, "routineId": routine_id}
        routine = {
            "routineReference": reference,
            "routineType": "SCALAR_FUNCTION",
            "language": "SQL",
            **properties,
        }
        self._routines.setdefault((project_id, dataset_id), []).append({"etag": etag(routine), **routine})

    # The Catalog protocol.

    async def list_datasets(self, project_id: str) -> Sequence[Json]:
        """Return the datasets of a project; those that hold anonymous results are hidden."""
        return [
            copy.deepcopy(dataset)
            for (project, name), dataset in sorted(self._datasets.items())
            if project == project_id and not name.startswith("_")
        ]

    async def get_dataset(self, project_id: str, dataset_id: str) -> Json:
        """Return one dataset."""
        return copy.deepcopy(self._need_dataset(project_id, dataset_id))

    async def insert_dataset(self, project_id: str, body: Json) -> Json:
        """Create a dataset."""
        dataset_id = body["datasetReference"]["datasetId"]
        if (project_id, dataset_id) in self._datasets:
            raise ApiError(409, "duplicate", f"Already Exists: Dataset {project_id}:{dataset_id}")
        return copy.deepcopy(self.put_dataset(project_id, dataset_id, **_without(body, "datasetReference")))

    async def patch_dataset(self, project_id: str, dataset_id: str, body: Json, *, replace: bool) -> Json:
        """Change a dataset."""
        before = self._need_dataset(project_id, dataset_id)
        changed = _patched(before, body, replace=replace)
        self._datasets[project_id, dataset_id] = _stamped(changed, str(int(self._clock() * 1000)))
        return copy.deepcopy(self._datasets[project_id, dataset_id])

    async def delete_dataset(self, project_id: str, dataset_id: str, *, delete_contents: bool) -> None:
        """Delete a dataset; one with tables only together with them."""
        self.remove_dataset(project_id, dataset_id, contents=delete_contents)

    async def list_tables(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the tables of a dataset."""
        self._need_dataset(project_id, dataset_id)
        return [
            copy.deepcopy(table)
            for path, table in sorted(self._tables.items())
            if path[:2] == (project_id, dataset_id)
        ]

    async def get_table(self, project_id: str, dataset_id: str, table_id: str) -> Json:
        """Return one table."""
        return copy.deepcopy(self._need_table(project_id, dataset_id, table_id))

    async def insert_table(self, project_id: str, dataset_id: str, body: Json) -> Json:
        """Create a table or view."""
        self._need_dataset(project_id, dataset_id)
        table_id = body["tableReference"]["tableId"]
        if (project_id, dataset_id, table_id) in self._tables:
            raise ApiError(409, "duplicate", f"Already Exists: Table {project_id}:{dataset_id}.{table_id}")
        properties = _without(body, "tableReference")
        if "view" in properties:
            properties.setdefault("type", "VIEW")
        if "materializedView" in properties:
            properties.setdefault("type", "MATERIALIZED_VIEW")
        return copy.deepcopy(self.put_table(project_id, dataset_id, table_id, **properties))

    async def patch_table(
        self, project_id: str, dataset_id: str, table_id: str, body: Json, *, replace: bool
    ) -> Json:
        """Change a table."""
        before = self._need_table(project_id, dataset_id, table_id)
        changed = _patched(before, body, replace=replace)
        path = (project_id, dataset_id, table_id)
        self._tables[path] = _stamped(changed, str(int(self._clock() * 1000)))
        return copy.deepcopy(self._tables[path])

    async def delete_table(self, project_id: str, dataset_id: str, table_id: str) -> None:
        """Delete a table or view."""
        self.remove_table(project_id, dataset_id, table_id)

    async def list_rows(self, project_id: str, dataset_id: str, table_id: str) -> Sequence[Json]:
        """Return the rows of a table."""
        self._need_table(project_id, dataset_id, table_id)
        return self._rows[project_id, dataset_id, table_id]

    async def list_routines(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the routines of a dataset."""
        self._need_dataset(project_id, dataset_id)
        return copy.deepcopy(self._routines.get((project_id, dataset_id), []))

    def _need_dataset(self, project_id: str, dataset_id: str) -> Json:
        dataset = self._datasets.get((project_id, dataset_id))
        if dataset is None:
            raise ApiError(404, "notFound", f"Not found: Dataset {project_id}:{dataset_id}")
        return dataset

    def _need_table(self, project_id: str, dataset_id: str, table_id: str) -> Json:
        self._need_dataset(project_id, dataset_id)
        table = self._tables.get((project_id, dataset_id, table_id))
        if table is None:
            raise ApiError(404, "notFound", f"Not found: Table {project_id}:{dataset_id}.{table_id}")
        return table


def _stamped(resource: Json, now: str) -> Json:
    """Return *resource* with the time of its last change and a new etag."""
    stamped = {**_without(resource, "etag"), "lastModifiedTime": now}
    return {**stamped, "etag": etag(stamped)}


def _patched(before: Json, body: Json, *, replace: bool) -> Json:
    changes = _without(body, "etag", "datasetReference", "tableReference")
    base = {key: before[key] for key in FIXED if key in before} if replace else dict(before)
    return _without_none(merged(base, changes))


def _without(resource: Json, *keys: str) -> Json:
    return {key: value for key, value in resource.items() if key not in keys}


def _without_none(resource: Json) -> Json:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in resource.items()
        if value is not None
    }
