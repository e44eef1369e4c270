"""
What BigQuery reports about a job and the emulator does not: bytes and slot time.

The numbers are plausible, not true: bytes follow from the size of the tables read (through views too), slot time from
the seconds the emulator took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosmos_async.testing.answers import merged
from cosmos_async.testing.engine import ApiError, EngineJob, Json
from tests.warehouse.client import EmulatorClient

MEGABYTE = 1024 * 1024
#: BigQuery bills at least this much for a query that reads tables.
MINIMUM_BILLED = 10 * MEGABYTE
#: What the emulator counts as eight bytes is more in practice: names, strings.
BYTES_FACTOR = 4
#: Views of views of views …
DEPTH = 20

TableKey = tuple[str, str, str]


class Statistics:
    """
    Completes the statistics of jobs.

    Args:
        client: The connection to the emulator, asked for the size of tables.
    """

    def __init__(self, client: EmulatorClient) -> None:
        self._client = client
        self._view_references: dict[str, list[TableKey]] = {}  # by the text of the view

    async def of(
        self, job: EngineJob, answer: Json, *, elapsed_ms: int, children: Sequence[Json] = ()
    ) -> Json:
        """
        Return the statistics of *job*.

        Args:
            job: The job.
            answer: What the emulator says of it.
            elapsed_ms: How long it took.
            children: The finished statistics of a script's statements, whose bytes are the script's.
        """
        given: Json = answer["statistics"]
        if job.kind != "query":
            kept = {key: given[key] for key in (job.kind,) if key in given}
            return merged(kept, {"totalSlotMs": str(max(1, elapsed_ms))})
        query = dict(given.get("query", {}))
        processed = sum(int(child["totalBytesProcessed"]) for child in children)
        if query.get("statementType") != "CREATE_VIEW" and not children:
            processed = await self._bytes([_key(table) for table in query.get("referencedTables", ())])
        totals = {
            "totalBytesProcessed": str(processed),
            "totalSlotMs": str(max(1, elapsed_ms) if processed else 0),
        }
        query.update(totals, totalBytesBilled=str(billed(processed)), cacheHit=False)
        kept = {key: given[key] for key in ("sessionInfo", "transactionInfo") if key in given}
        return {**kept, **totals, "query": query}

    async def _bytes(self, tables: list[TableKey], depth: int = DEPTH) -> int:
        total = 0
        for key in tables:
            total += await self._bytes_of(key, depth)
        return total

    async def _bytes_of(self, key: TableKey, depth: int) -> int:
        project_id, dataset_id, table_id = key
        try:
            table = await self._client.call("GET", project_id, "datasets", dataset_id, "tables", table_id)
        except ApiError:
            # INFORMATION_SCHEMA, a temporary table, or one the script has dropped.
            return 0
        if "view" not in table:
            return int(table.get("numBytes", 0)) * BYTES_FACTOR
        if not depth:
            return 0
        return await self._bytes(await self._references(project_id, table["view"]["query"]), depth - 1)

    async def _references(self, project_id: str, sql: str) -> list[TableKey]:
        if sql not in self._view_references:
            body: dict[str, Any] = {
                "configuration": {"dryRun": True, "query": {"query": sql, "useLegacySql": False}}
            }
            try:
                answer = await self._client.call("POST", project_id, "jobs", body=body)
            except ApiError:
                # A view over a table that is gone.
                return []
            found = answer["statistics"].get("query", {}).get("referencedTables", ())
            self._view_references[sql] = [_key(table) for table in found]
        return self._view_references[sql]


def billed(processed: int) -> int:
    """Return the bytes billed for the bytes processed: whole megabytes, at least ten."""
    if not processed:
        return 0
    return max(MINIMUM_BILLED, -(-processed // MEGABYTE) * MEGABYTE)


def _key(table: Json) -> TableKey:
    return table["projectId"], table["datasetId"], table["tableId"]
