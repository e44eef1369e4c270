"""
Copies of single partitions, named by a decorator (`table$20240101`), which the emulator does not know.
"""

from __future__ import annotations

from cosmos_async.testing.engine import ApiError, EngineJob, Json
from tests.warehouse.client import EmulatorClient

#: How the decorator of a partition writes its time, and the SQL that truncates a value to it, by granularity.
_DECORATORS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}

#: Where rows lie whose partitioning column is NULL, and whose number lies in no range.
NULLS, OUTSIDE = "__NULL__", "__UNPARTITIONED__"
#: The column of a table that is partitioned by the arrival of its rows.
ARRIVAL = "_PARTITIONTIME"


def names_a_partition(job: EngineJob) -> bool:
    """Whether a copy job reads or writes single partitions (`table$20240101`), as dbt's `copy_partitions` does."""
    copy = job.configuration.get("copy", {})
    tables = [copy.get("destinationTable", {}), copy.get("sourceTable", {}), *copy.get("sourceTables", ())]
    return any("$" in table.get("tableId", "") for table in tables)


async def copy_script(job: EngineJob, client: EmulatorClient) -> str:
    """
    Return the SQL that does what the copy job *job* would do, partition by partition.

    The emulator does not know decorators. WRITE_TRUNCATE and WRITE_APPEND are understood.
    """
    copy = job.configuration["copy"]
    target = Partition(copy["destinationTable"], await _resource(copy["destinationTable"], client))
    statements = []
    if copy.get("writeDisposition") == "WRITE_TRUNCATE":
        statements.append(f"delete from {target.table} where {target.condition}")
    for table in copy.get("sourceTables") or [copy["sourceTable"]]:
        source = Partition(table, await _resource(table, client))
        columns = ", ".join(f"`{name}`" for name in source.columns)
        into, values = columns, columns
        if target.by_arrival:
            # The rows lie where the target's decorator says, wherever they lay before.
            into, values = f"{ARRIVAL}, {columns}", f"{target.arrival or ARRIVAL}, {columns}"
        rows = f"select {values} from {source.table} where {source.condition}"
        statements.append(f"insert into {target.table} ({into}) {rows}")
    return ";\n".join(["begin transaction", *statements, "commit transaction"])


async def _resource(table: Json, client: EmulatorClient) -> Json:
    path = (table["projectId"], "datasets", table["datasetId"], "tables", table["tableId"].partition("$")[0])
    return await client.call("GET", *path)


class Partition:
    """
    One partition of a table, or the table where no decorator names one.

    Args:
        reference: The table's, with the decorator.
        resource: The table's own.
    """

    def __init__(self, reference: Json, resource: Json) -> None:
        table_id, _, self._name = reference["tableId"].partition("$")
        self.table = f"`{reference['projectId']}`.`{reference['datasetId']}`.`{table_id}`"
        self.columns = [field["name"] for field in resource["schema"]["fields"]]
        self._range = resource.get("rangePartitioning")
        self._time = resource.get("timePartitioning")
        self.by_arrival = self._time is not None and "field" not in self._time

    @property
    def condition(self) -> str:
        """The condition that a row lies in it."""
        if not self._name:
            return "true"
        if self._range:
            return self._in_range(f"`{self._range['field']}`", self._range["range"])
        if self._time is None:
            raise ApiError(
                400, "invalid", f"{self.table} is not partitioned and has no partition {self._name}"
            )
        field = ARRIVAL if self.by_arrival else f"`{self._time['field']}`"
        if self._name == NULLS:
            return f"{field} is null"
        return f"format_timestamp('{self._pattern}', cast({field} as timestamp)) = '{self._name}'"

    @property
    def arrival(self) -> str | None:
        """The time that the decorator stands for; None without one."""
        return f"parse_timestamp('{self._pattern}', '{self._name}')" if self._name else None

    @property
    def _pattern(self) -> str:
        assert self._time is not None
        return _DECORATORS[self._time.get("type", "DAY")]

    def _in_range(self, field: str, limits: Json) -> str:
        start, end, width = (int(limits[key]) for key in ("start", "end", "interval"))
        if self._name == NULLS:
            return f"{field} is null"
        if self._name == OUTSIDE:
            return f"({field} < {start} or {field} >= {end})"
        number = int(self._name)
        if not start <= number < end or (number - start) % width:
            # A partition is called by where it begins; no other name is documented.
            raise ApiError(400, "invalid", f"{self.table} has no partition that begins at {number}")
        return f"{field} >= {number} and {field} < {min(number + width, end)}"
