"""
The emulator as a `Catalog`: datasets, tables and routines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cosmos_async.testing.engine import Json
from tests.warehouse.client import EmulatorClient

PAGE = 10_000


class EmulatorCatalog:
    """
    Keeps datasets and tables in the emulator.

    Args:
        client: The connection to the emulator.
        writer: Held while something is changed; the same lock as the engine's.
    """

    def __init__(self, client: EmulatorClient, writer: asyncio.Lock) -> None:
        self._client = client
        self._writer = writer

    async def list_datasets(self, project_id: str) -> Sequence[Json]:
        """Return the datasets of a project."""
        answer = await self._client.call("GET", project_id, "datasets")
        return list(answer.get("datasets", ()))

    async def get_dataset(self, project_id: str, dataset_id: str) -> Json:
        """Return one dataset."""
        return await self._client.call("GET", project_id, "datasets", dataset_id)

    async def insert_dataset(self, project_id: str, body: Json) -> Json:
        """Create a dataset."""
        async with self._writer:
            return await self._client.call("POST", project_id, "datasets", body=body)

    async def patch_dataset(self, project_id: str, dataset_id: str, body: Json, *, replace: bool) -> Json:
        """Change or replace a dataset's fields."""
        method = "PUT" if replace else "PATCH"
        async with self._writer:
            return await self._client.call(method, project_id, "datasets", dataset_id, body=body)

    async def delete_dataset(self, project_id: str, dataset_id: str, *, delete_contents: bool) -> None:
        """Delete a dataset."""
        params = {"deleteContents": "true" if delete_contents else "false"}
        async with self._writer:
            await self._client.call("DELETE", project_id, "datasets", dataset_id, params=params)

    async def list_tables(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the tables and views of a dataset."""
        answer = await self._client.call("GET", project_id, "datasets", dataset_id, "tables")
        return list(answer.get("tables", ()))

    async def get_table(self, project_id: str, dataset_id: str, table_id: str) -> Json:
        """Return one table."""
        return await self._client.call("GET", project_id, "datasets", dataset_id, "tables", table_id)

    async def insert_table(self, project_id: str, dataset_id: str, body: Json) -> Json:
        """Create a table or view."""
        async with self._writer:
            return await self._client.call("POST", project_id, "datasets", dataset_id, "tables", body=body)

    async def patch_table(
        self, project_id: str, dataset_id: str, table_id: str, body: Json, *, replace: bool
    ) -> Json:
        """Change or replace a table's fields."""
        method = "PUT" if replace else "PATCH"
        path = (project_id, "datasets", dataset_id, "tables", table_id)
        async with self._writer:
            return await self._client.call(method, *path, body=body)

    async def delete_table(self, project_id: str, dataset_id: str, table_id: str) -> None:
        """Delete a table or view."""
        async with self._writer:
            await self._client.call("DELETE", project_id, "datasets", dataset_id, "tables", table_id)

    async def list_rows(self, project_id: str, dataset_id: str, table_id: str) -> Sequence[Json]:
        """Return the rows of a table."""
        path = (project_id, "datasets", dataset_id, "tables", table_id, "data")
        rows: list[Json] = []
        params: dict[str, str | int] = {"maxResults": PAGE, "formatOptions.useInt64Timestamp": "true"}
        while True:
            page = await self._client.call("GET", *path, params=params)
            rows += page.get("rows", ())
            if "pageToken" not in page:
                return rows
            params["pageToken"] = page["pageToken"]

    async def list_routines(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the routines of a dataset."""
        answer = await self._client.call("GET", project_id, "datasets", dataset_id, "routines")
        return list(answer.get("routines", ()))
