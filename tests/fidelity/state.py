"""
What is in the warehouse after a build: everything a user could tell from looking at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.fidelity.normal import Names
from tests.warehouse.fixture import Warehouse

Json = dict[str, Any]

#: What the warehouse itself counts or stamps.
_VOLATILE = re.compile(r"etag|id|selfLink|kind|creationTime|last(Modified|Refresh)Time|num\w*Bytes")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: dbt hashes the time of the run into it.
_HASHED_TIME = "dbt_scd_id"


def state_of(warehouse: Warehouse, names: Names) -> dict[str, Json]:
    """
    Return everything in the build's datasets and in those that dbt named after them, by relation.

    Relations are called like "customers" and "marts.customers"; a dataset itself is called "(dataset)".
    """
    found: dict[str, Json] = {}
    for dataset in warehouse.datasets():
        if not any(dataset == each or dataset.startswith(f"{each}_") for each in names.datasets):
            continue
        room = names.text(dataset)
        path = f"projects/{warehouse.project}/datasets/{dataset}"
        found[f"{room}.(dataset)"] = names.value(_lasting(warehouse.call("GET", path)))
        listed = warehouse.call("GET", f"{path}/tables?maxResults=10000").get("tables", ())
        for name in sorted(each["tableReference"]["tableId"] for each in listed):
            found[f"{room}.{names.text(name)}"] = _relation(warehouse, dataset, name, names)
        for routine in warehouse.call("GET", f"{path}/routines?maxResults=10000").get("routines", ()):
            name = routine["routineReference"]["routineId"]
            found[f"{room}.{name}()"] = names.value(_lasting(routine))
    for grant in _grants(warehouse, names.datasets):
        found.setdefault(grant.pop("relation"), {}).setdefault("grants", []).append(grant)
    return found


def _relation(warehouse: Warehouse, dataset: str, name: str, names: Names) -> Json:
    table = warehouse.table(dataset, name)
    if "expirationTime" in table:
        # Counted from the build: to the minute is near enough to tell hours from days.
        left = int(table["expirationTime"]) - int(table["creationTime"])
        table["expirationTime"] = f"{round(left / 60_000)} minutes after its creation"
    relation: Json = names.value(_lasting(table))
    fields = table.get("schema", {}).get("fields", [])
    rows = warehouse.rows(dataset, name, table) if fields else []
    if table["type"] != "TABLE":
        names = names.until_now()  # a view may tell the time at which it is looked at
    kept = [_row(fields, row, names) for row in rows]
    relation["rows"] = sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))
    relation["numRows"] = len(rows)
    return relation


def _row(fields: Iterable[Json], row: Json, names: Names) -> Json:
    kinds = {each["name"]: each["type"] for each in fields}
    return {name: _cell(name, kinds[name], value, names) for name, value in row.items()}


def _cell(name: str, kind: str, value: Any, names: Names) -> Any:
    if names.is_volatile(name):
        return "<of the build>"
    if value is None:
        return None
    if name == _HASHED_TIME:
        return "<hash>"
    if kind == "TIMESTAMP" and isinstance(value, str) and value.lstrip("-").isdigit():
        return names.moment(_EPOCH + timedelta(microseconds=int(value))) or value
    return names.value(value)


def _lasting(resource: Any) -> Any:
    if isinstance(resource, dict):
        return {key: _lasting(value) for key, value in resource.items() if not _VOLATILE.fullmatch(key)}
    return [_lasting(each) for each in resource] if isinstance(resource, list) else resource


def _grants(warehouse: Warehouse, datasets: Iterable[str]) -> list[Json]:
    rows = warehouse.query("select * from `region-us`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES")
    names = Names(tuple(datasets))
    found = []
    for row in rows:
        dataset = row["object_schema"]
        if any(dataset == each or dataset.startswith(f"{each}_") for each in names.datasets):
            grant = {"role": row["privilege_type"], "to": row["grantee"]}
            found.append({"relation": f"{names.text(dataset)}.{row['object_name']}", **grant})
    return sorted(found, key=lambda grant: json.dumps(grant))
