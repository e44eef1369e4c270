"""
What a job does to the catalog when there is no SQL engine: names appear, change kind and disappear as they should.

The contents are not computed: a new table has the schema and the rows its test gave to `on_query`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_async.testing import ddl
from cosmos_async.testing.answers import merged
from cosmos_async.testing.catalog import MemoryCatalog
from cosmos_async.testing.engine import ApiError, EngineJob, JobResult, Json
from cosmos_async.testing.rows import rest_rows
from cosmos_async.testing.sql import Statement, statement_type, statements

TABLE_KINDS = {"TABLE": "TABLE", "VIEW": "VIEW", "MATERIALIZED_VIEW": "MATERIALIZED_VIEW",
               "TABLE_AS_SELECT": "TABLE", "SNAPSHOT_TABLE": "SNAPSHOT", "EXTERNAL_TABLE": "EXTERNAL"}  # fmt: skip
DML = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE"})


@dataclass(frozen=True)
class Outcome:
    """What a test says about a query: its columns, rows, and how many rows it changes."""

    schema: Sequence[Json] | None = None
    rows: Sequence[Any] = ()
    affected_rows: int | None = None
    statement_type: str | None = None


def apply_query(catalog: MemoryCatalog, job: EngineJob, outcome: Outcome) -> JobResult:
    """Let the statements of a query job take effect, one after the other, and return the job's result."""
    found = statements(job.sql)
    kind = outcome.statement_type or statement_type(found)
    query: Json = {"statementType": kind}
    destination: Json | None = job.configuration["query"].get("destinationTable")
    for statement in found:
        facts = _apply(catalog, job, statement, outcome)
        if len(found) == 1:
            query.update(facts)
            destination = destination or facts.pop("destinationTable", None)
            query.pop("destinationTable", None)
    if kind == "SELECT":
        destination = _keep_result(catalog, job, outcome, destination)
    if kind in DML and outcome.affected_rows is not None:
        query.update(_dml_facts(kind, outcome.affected_rows))
    selects = kind in ("SELECT", "SCRIPT") or (outcome.schema is not None and not destination)
    return JobResult(
        schema=outcome.schema or [] if selects else None,
        rows=rest_rows(outcome.schema or [], outcome.rows) if selects else (),
        statistics={"query": query},
        configuration={"query": {"destinationTable": destination}} if destination else {},
    )


def apply_load(catalog: MemoryCatalog, job: EngineJob) -> JobResult:
    """Put what a load job uploaded into its table."""
    load = job.configuration["load"]
    data = job.data or b""
    fields = load.get("schema", {}).get("fields", [])
    rows = _parsed(load, data, fields)
    _write(
        catalog, load["destinationTable"], fields, rows, load.get("writeDisposition", "WRITE_APPEND"), load
    )
    facts = {
        "inputFiles": str(len(load.get("sourceUris", [])) or 1),
        "inputFileBytes": str(len(data)),
        "outputRows": str(len(rows)),
        "outputBytes": str(len(data)),
        "badRecords": "0",
    }
    return JobResult(statistics={"load": facts})


def apply_copy(catalog: MemoryCatalog, job: EngineJob) -> JobResult:
    """Copy tables."""
    body = job.configuration["copy"]
    sources = body.get("sourceTables") or [body["sourceTable"]]
    rows: list[Json] = []
    fields: Sequence[Json] = []
    for reference in sources:
        path = _path(reference)
        source = catalog.table(*path)
        if source is None:
            raise ApiError(404, "notFound", f"Not found: Table {_colon(path)}")
        fields = source.get("schema", {}).get("fields", [])
        rows += catalog.stored_rows(*path)
    _write(catalog, body["destinationTable"], fields, rows, body.get("writeDisposition", "WRITE_EMPTY"), {})
    return JobResult(statistics={"copy": {"copiedRows": str(len(rows)), "copiedLogicalBytes": "0"}})


def _apply(catalog: MemoryCatalog, job: EngineJob, statement: Statement, outcome: Outcome) -> Json:
    verb, _, thing = statement.type.partition("_")
    if verb == "CREATE" and thing == "SCHEMA":
        return _create_schema(catalog, job, statement)
    if verb == "DROP" and thing == "SCHEMA":
        return _drop_schema(catalog, job, statement)
    if verb == "CREATE" and thing in TABLE_KINDS:
        return _create(catalog, job, statement, TABLE_KINDS[thing], outcome)
    if verb == "DROP" and thing in TABLE_KINDS:
        return _drop(catalog, job, statement, TABLE_KINDS[thing])
    if statement.type in DML or statement.type == "ALTER_TABLE":
        path = _resolve(job, statement.target)
        _need_dataset(catalog, job, path)
        if catalog.table(*path) is None and not statement.tolerant:
            raise _not_found(job, "Table", _colon(path))
        key = "destinationTable" if statement.type in DML else "ddlTargetTable"
        return {key: _reference(path)}
    return {}


def _create(
    catalog: MemoryCatalog, job: EngineJob, statement: Statement, kind: str, outcome: Outcome
) -> Json:
    path = _resolve(job, statement.target)
    _need_dataset(catalog, job, path)
    facts: Json = {"ddlTargetTable": _reference(path)}
    if statement.type == "CREATE_TABLE_AS_SELECT":
        facts["destinationTable"] = _reference(path)
    before = catalog.table(*path)
    if before and statement.tolerant:
        return {**facts, "ddlOperationPerformed": "SKIP"}
    if before and not statement.replaces:
        raise ApiError(409, "duplicate", f"Already Exists: Table {_colon(path)}")
    if before and before["type"] != kind:
        raise _wrong_kind(path, before["type"])
    properties: Json = {"type": kind, **ddl.properties(statement.sql)}
    if kind in ("VIEW", "MATERIALIZED_VIEW"):
        query = re.split(r"\bas\b", statement.sql, maxsplit=1, flags=re.IGNORECASE)[-1]
        field = "view" if kind == "VIEW" else "materializedView"
        properties[field] = {"query": query.strip()}
        if kind == "VIEW":
            properties["view"]["useLegacySql"] = False
    fields = (
        outcome.schema if outcome.schema is not None else (before or {}).get("schema", {}).get("fields", [])
    )
    properties["schema"] = {"fields": list(fields)}
    catalog.put_table(*path, rows=() if kind == "VIEW" else outcome.rows, **properties)
    return {**facts, "ddlOperationPerformed": "REPLACE" if before else "CREATE"}


def _drop(catalog: MemoryCatalog, job: EngineJob, statement: Statement, kind: str) -> Json:
    path = _resolve(job, statement.target)
    facts: Json = {"ddlTargetTable": _reference(path)}
    before = catalog.table(*path)
    if before is None and statement.tolerant:
        return {**facts, "ddlOperationPerformed": "SKIP"}
    if before is None:
        _need_dataset(catalog, job, path)
        raise _not_found(job, "Table", _colon(path))
    if before["type"] != kind:
        raise _wrong_kind(path, before["type"])
    catalog.remove_table(*path)
    return {**facts, "ddlOperationPerformed": "DROP"}


def _create_schema(catalog: MemoryCatalog, job: EngineJob, statement: Statement) -> Json:
    project, dataset = (job.project_id, *statement.target)[-2:]
    facts: Json = {"ddlTargetDataset": {"projectId": project, "datasetId": dataset}}
    if catalog.dataset(project, dataset):
        if not statement.tolerant:
            raise ApiError(409, "duplicate", f"Already Exists: Dataset {project}:{dataset}")
        return {**facts, "ddlOperationPerformed": "SKIP"}
    catalog.put_dataset(project, dataset, location=job.location)
    return {**facts, "ddlOperationPerformed": "CREATE"}


def _drop_schema(catalog: MemoryCatalog, job: EngineJob, statement: Statement) -> Json:
    project, dataset = (job.project_id, *statement.target)[-2:]
    facts: Json = {"ddlTargetDataset": {"projectId": project, "datasetId": dataset}}
    if catalog.dataset(project, dataset) is None:
        if not statement.tolerant:
            raise _not_found(job, "Dataset", f"{project}:{dataset}")
        return {**facts, "ddlOperationPerformed": "SKIP"}
    catalog.remove_dataset(project, dataset, contents=statement.sql.lower().rstrip().endswith("cascade"))
    return {**facts, "ddlOperationPerformed": "DROP"}


def _keep_result(catalog: MemoryCatalog, job: EngineJob, outcome: Outcome, destination: Json | None) -> Json:
    """Store the result of a SELECT where it was asked for, or in an anonymous table as BigQuery does."""
    rows = rest_rows(outcome.schema or [], outcome.rows)
    if destination:
        disposition = job.configuration["query"].get("writeDisposition", "WRITE_EMPTY")
        _write(catalog, destination, outcome.schema or [], rows, disposition, {})
        return destination
    digest = hashlib.sha256(f"{job.project_id}{job.location}{job.job_id}".encode()).hexdigest()
    dataset = f"_{hashlib.sha256(job.user_email.encode()).hexdigest()[:40]}"
    if catalog.dataset(job.project_id, dataset) is None:
        catalog.put_dataset(job.project_id, dataset, location=job.location)
    path = (job.project_id, dataset, f"anon{digest}")
    catalog.put_table(*path, rows=rows, schema={"fields": list(outcome.schema or [])})
    return _reference(path)


def _write(
    catalog: MemoryCatalog,
    reference: Json,
    fields: Sequence[Json],
    rows: Sequence[Json],
    disposition: str,
    extra: Json,
) -> None:
    path = _path(reference)
    before = catalog.table(*path)
    if before and before["type"] != "TABLE":
        raise _wrong_kind(path, before["type"])
    if before and disposition == "WRITE_EMPTY" and before.get("numRows", "0") != "0":
        raise ApiError(409, "duplicate", f"Already Exists: Table {_colon(path)}")
    # Which rows lie in a partition is not known here: writing to one replaces none of the others.
    keeps = disposition == "WRITE_APPEND" or "$" in reference["tableId"]
    kept = catalog.stored_rows(*path) if before and keeps else []
    properties: Json = {
        "schema": {"fields": list(fields or (before or {}).get("schema", {}).get("fields", []))}
    }
    for key in ("timePartitioning", "rangePartitioning", "clustering"):
        if key in extra or (before and key in before):
            properties[key] = extra.get(key) or (before or {})[key]
    catalog.put_table(*path, rows=[*kept, *rows], **properties)


def _parsed(load: Json, data: bytes, fields: Sequence[Json]) -> list[Json]:
    if load.get("sourceFormat", "CSV") == "NEWLINE_DELIMITED_JSON":
        return rest_rows(fields, [json.loads(line) for line in data.splitlines() if line.strip()])
    lines = list(csv.reader(io.StringIO(data.decode()), delimiter=load.get("fieldDelimiter") or ","))
    return rest_rows(
        fields, [[cell or None for cell in line] for line in lines[int(load.get("skipLeadingRows") or 0) :]]
    )


def _dml_facts(kind: str, count: int) -> Json:
    key = {
        "INSERT": "insertedRowCount",
        "DELETE": "deletedRowCount",
        "TRUNCATE_TABLE": "deletedRowCount",
    }.get(kind, "updatedRowCount")
    zero = {"insertedRowCount": "0", "updatedRowCount": "0", "deletedRowCount": "0"}
    return {"numDmlAffectedRows": str(count), "dmlStats": merged(zero, {key: str(count)})}


def _resolve(job: EngineJob, parts: tuple[str, ...]) -> tuple[str, str, str]:
    default = job.configuration["query"].get("defaultDataset", {})
    if len(parts) == 1:
        if not default:
            raise ApiError(
                400, "invalid", f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table).'
            )
        return default.get("projectId", job.project_id), default["datasetId"], parts[0]
    if len(parts) == 2:
        return job.project_id, parts[0], parts[1]
    return parts[-3], parts[-2], parts[-1]


def _need_dataset(catalog: MemoryCatalog, job: EngineJob, path: tuple[str, str, str]) -> None:
    dataset = catalog.dataset(path[0], path[1])
    if dataset is None or dataset["location"].lower() != job.location.lower():
        raise _not_found(job, "Dataset", f"{path[0]}:{path[1]}")


def _not_found(job: EngineJob, what: str, name: str) -> ApiError:
    return ApiError(404, "notFound", f"Not found: {what} {name} was not found in location {job.location}")


def _wrong_kind(path: tuple[str, str, str], kind: str) -> ApiError:
    return ApiError(
        400, "invalid", f"{_colon(path)} is not allowed for this operation because it is currently a {kind}."
    )


def _path(reference: Json) -> tuple[str, str, str]:
    return reference["projectId"], reference["datasetId"], reference["tableId"].partition("$")[0]


def _reference(path: tuple[str, str, str]) -> Json:
    return {"projectId": path[0], "datasetId": path[1], "tableId": path[2]}


def _colon(path: tuple[str, str, str]) -> str:
    return f"{path[0]}:{path[1]}.{path[2]}"
