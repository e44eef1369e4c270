"""
From what dbt read while it was recorded to the guards that repeat it.
"""

from __future__ import annotations

import re

from cosmos_async.dbt.planner.operations import NotStatic
from cosmos_async.plan.model import Guard, GuardKind, Json
from cosmos_async.plan.projection import (
    project_columns,
    project_dataset,
    project_fields,
    project_listing,
    project_rows,
    project_settings,
    project_table,
)

READS = frozenset(("relation", "table", "settings", "dataset", "listing", "rows", "schema"))
_LONGEST_SUBJECT = 80  # characters
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def guard_of(event: Json, node: Json, recording: Json) -> tuple[Guard | None, str | None]:
    """
    Return the guard of one read, if it needs one, and what to say of the node that reads, if anything.

    Args:
        event: The read.
        node: The description of the node that made it.
        recording: The whole recording.

    Raises:
        NotStatic: No guard can repeat it.
    """
    kind: str = event["event"]
    path: list[str] = event.get("path") or []
    name = ".".join(path)
    if kind == "relation":
        if node["resource_type"] == "function" and path[-1] in (node["name"], node["alias"]):
            return (
                None,
                None,
            )  # it is created or replaced either way, and a table of its name is another thing
        reason = f"asks whether {name} exists" if path != node["relation"] else None
        return table_guard(GuardKind.TARGET_STATE, path, event["state"], predicted=event["predicted"]), reason
    if kind == "table":
        return _columns_guard(event, recording), f"reads the columns of {name}"
    if kind == "settings":
        guard = table_guard(GuardKind.SETTINGS, path, project_settings(event["answer"]), predicted=False)
        return guard, f"reads the settings of {name}"
    if kind == "dataset":
        request = {"project": path[0], "dataset": path[1]}
        guard = Guard(GuardKind.DATASET, name, request, project_dataset(event["answer"]))
        return guard, f"reads the dataset {name}"
    if kind == "listing":
        return _listing_guard(event), f"lists the {event['what']} of {name}"
    if kind == "schema":
        query = event["request"]["configuration"]["query"]
        guard = _schema_guard(
            event["request"],
            query,
            subject_of(query["query"]),
            event["answer"],
            predicted=event["predicted"],
        )
        return guard, "reads the columns of a query"
    return _rows_guard(event), "reads the rows of a query"


def table_guard(kind: GuardKind, path: list[str], expected: object, *, predicted: bool) -> Guard:
    """Return a guard about one table or view."""
    project, dataset, table = path
    request = {"project": project, "dataset": dataset, "table": table}
    return Guard(kind, ".".join(path), request, expected, predicted)


def subject_of(text: str) -> str:
    """Return a query as a guard is called by it: in one line, without comments, and not too long."""
    words = " ".join(_COMMENT.sub(" ", text).split())
    return words if len(words) <= _LONGEST_SUBJECT else words[: _LONGEST_SUBJECT - 1] + "…"


def _columns_guard(event: Json, recording: Json) -> Guard:
    path, predicted = event["path"], event["predicted"]
    if not predicted or event["answer"] is None:
        return table_guard(GuardKind.TABLE, path, project_table(event["answer"]), predicted=predicted)
    # What was foretold are its columns, and they are all that dbt looks at in a table it has just made.
    name = ".".join(path)
    query = {"query": f"select * from `{name}`", "useLegacySql": False}
    fields: list[Json] = (event["answer"].get("schema") or {}).get("fields") or []
    request = {"project": recording["execution_project"], "location": recording["location"]}
    return _schema_guard(request, query, name, fields, predicted=True)


def _listing_guard(event: Json) -> Guard:
    what, path = event["what"], event["path"]
    request = {"what": what, **dict(zip(("project", "dataset"), path)), "ignored": event["ignored"]}
    expected = project_listing(event["answer"], ignored=event["ignored"])
    return Guard(GuardKind.LISTING, f"the {what} of {'.'.join(path)}", request, expected)


def _schema_guard(request: Json, query: Json, subject: str, fields: list[Json], *, predicted: bool) -> Guard:
    asked = {
        "project": request["project"],
        "location": request["location"],
        "configuration": {"dryRun": True, "query": query},
    }
    return Guard(GuardKind.SCHEMA, subject, asked, project_fields(fields), predicted)


def _columns_of(event: Json) -> Json:
    """Return a result's columns, which a template may look at as well."""
    schema = event.get("schema")
    return {"columns": project_columns(schema.get("fields"))} if schema else {}


def _rows_guard(event: Json) -> Guard:
    query = event["request"]["configuration"]["query"]
    rows = [row for page in event["pages"].values() for row in page]
    if event["total"] is None or len(rows) != event["total"]:
        raise NotStatic(f"It reads only a part of the rows of {subject_of(query['query'])}.")
    return Guard(
        GuardKind.ROWS,
        subject_of(query["query"]),
        {**event["request"], "ordered": event["ordered"], **_columns_of(event)},
        project_rows({"rows": rows}, ordered=event["ordered"]),
        event.get("predicted", False),
    )
