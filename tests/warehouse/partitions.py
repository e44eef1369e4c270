"""
Partitions where the emulator knows less of them than BigQuery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cosmos_async.testing.engine import ApiError, EngineJob, Json
from tests.warehouse.client import EmulatorClient

_RANGE = re.compile(
    r"""
    \bcreate\s+(?:or\s+replace\s+)?table\s+(?:if\s+not\s+exists\s+)?
    (?P<name>`[^`]+`(?:\.`[^`]+`)*|[\w.-]+) [^;]*?
    \bpartition\s+by\s+range_bucket\(\s*`?(?P<field>\w+)`?\s*,\s*
    generate_array\(\s*(?P<start>-?\d+)\s*,\s*(?P<end>-?\d+)\s*,\s*(?P<interval>\d+)\s*\)\s*\)
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: How the decorator of a partition writes its time, and the SQL that truncates a value to it, by granularity.
_DECORATORS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


class RangePartitioning(NamedTuple):
    """A table that was created with integer partitions."""

    project_id: str  #: empty where the statement names none
    dataset_id: str
    table_id: str
    resource: Json  #: BigQuery's RangePartitioning


def range_partitioned(sql: str) -> Iterator[RangePartitioning]:
    """
    Yield the tables that *sql* creates with `partition by range_bucket(…)`.

    The emulator takes them for tables partitioned by day, and dbt's `is_replaceable` would find another partitioning
    than the model's and drop the table before each build.
    """
    for match in _RANGE.finditer(sql):
        project_id, dataset_id, table_id = ["", "", *match["name"].replace("`", "").split(".")][-3:]
        limits = {key: match[key] for key in ("start", "end", "interval")}
        yield RangePartitioning(project_id, dataset_id, table_id, {"field": match["field"], "range": limits})


def names_a_partition(job: EngineJob) -> bool:
    """Whether a copy job reads or writes single partitions (`table$20240101`), as dbt's `copy_partitions` does."""
    copy = job.configuration.get("copy", {})
    tables = [copy.get("destinationTable", {}), copy.get("sourceTable", {}), *copy.get("sourceTables", ())]
    return any("$" in table.get("tableId", "") for table in tables)


async def copy_script(job: EngineJob, client: EmulatorClient) -> str:
    """
    Return the SQL that does what the copy job *job* would do, partition by partition.

    The emulator does not know decorators. Only tables partitioned by a column of dates or times are understood, and
    WRITE_TRUNCATE and WRITE_APPEND.
    """
    copy = job.configuration["copy"]
    target = copy["destinationTable"]
    statements = []
    if copy.get("writeDisposition") == "WRITE_TRUNCATE":
        statements.append(f"delete from {_name(target)} where {await _condition(target, client)}")
    for source in copy.get("sourceTables") or [copy["sourceTable"]]:
        rows = f"select * from {_name(source)} where {await _condition(source, client)}"
        statements.append(f"insert into {_name(target)} {rows}")
    return ";\n".join(["begin transaction", *statements, "commit transaction"])


def _name(table: Json) -> str:
    table_id = table["tableId"].partition("$")[0]
    return f"`{table['projectId']}`.`{table['datasetId']}`.`{table_id}`"


async def _condition(table: Json, client: EmulatorClient) -> str:
    """Return the condition that a row of *table* lies in the named partition."""
    table_id, _, partition = table["tableId"].partition("$")
    if not partition:
        return "true"
    resource = await client.call(
        "GET", table["projectId"], "datasets", table["datasetId"], "tables", table_id
    )
    partitioning = resource.get("timePartitioning", {})
    if "field" not in partitioning:
        message = (
            f"The local warehouse copies no partitions of {table_id}: it is not partitioned by a time column"
        )
        raise ApiError(501, "notImplemented", message)
    pattern = _DECORATORS[partitioning["type"]]
    return f"format_timestamp('{pattern}', cast(`{partitioning['field']}` as timestamp)) = '{partition}'"
