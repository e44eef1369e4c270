"""
Copies of single partitions, named by a decorator (`table$20240101`), which the emulator does not know.
"""

from __future__ import annotations

from cosmos_async.testing.engine import ApiError, EngineJob, Json
from tests.warehouse.client import EmulatorClient

#: How the decorator of a partition writes its time, and the SQL that truncates a value to it, by granularity.
_DECORATORS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


def names_a_partition(job: EngineJob) -> bool:
    """Whether a copy job reads or writes single partitions (`table$20240101`), as dbt's `copy_partitions` does."""
    copy = job.configuration.get("copy", {})
    tables = [copy.get("destinationTable", {}), copy.get("sourceTable", {}), *copy.get("sourceTables", ())]
    return any("$" in table.get("tableId", "") for table in tables)


async def copy_script(job: EngineJob, client: EmulatorClient) -> str:
    """
    Return the SQL that does what the copy job *job* would do, partition by partition.

    The emulator does not know decorators. Only tables partitioned by a column are understood, and WRITE_TRUNCATE and
    WRITE_APPEND.
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
    ranged = resource.get("rangePartitioning")
    if ranged:
        number, width = int(partition), int(ranged["range"]["interval"])
        return f"`{ranged['field']}` >= {number} and `{ranged['field']}` < {number + width}"
    partitioning = resource.get("timePartitioning", {})
    if "field" not in partitioning:
        message = f"The local warehouse copies no partitions of {table_id}: it is not partitioned by a column"
        raise ApiError(501, "notImplemented", message)
    pattern = _DECORATORS[partitioning["type"]]
    return f"format_timestamp('{pattern}', cast(`{partitioning['field']}` as timestamp)) = '{partition}'"
