"""
The warehouse as a whole: the emulator's process, and our job API before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from cosmos_async.testing import FakeGoogle
from tests.warehouse.catalog import EmulatorCatalog
from tests.warehouse.child import Emulator, emulator
from tests.warehouse.client import EmulatorClient
from tests.warehouse.engine import EmulatorEngine

PROJECT = "kitchen-project"


@dataclass(frozen=True)
class Front:
    """A running warehouse."""

    google: FakeGoogle  #: BigQuery's job API, Cloud Storage and the token endpoint
    emulator: Emulator


@contextlib.asynccontextmanager
async def front(
    data_dir: Path,
    *,
    project: str = PROJECT,
    port: int = 0,
    hold_ms: int = 0,
    python: Path | None = None,
    certificates: Path | None = None,
) -> AsyncIterator[Front]:
    """
    Run the warehouse on a loopback port.

    Args:
        data_dir: Where the tables are kept; the tables of an earlier run are found again.
        project: The project that exists.
        port: 0 takes a free one.
        hold_ms: How many milliseconds each job takes at least; a job's label `hold_ms` overrules it.
        python: The interpreter that has the emulator; by default the checkout's .venvs/warehouse.
        certificates: The folder with the certificate of the Storage API, which is not served otherwise.
    """
    async with contextlib.AsyncExitStack() as stack:
        child = await stack.enter_async_context(
            emulator(data_dir, project=project, python=python, certificates=certificates)
        )
        client = EmulatorClient(child.endpoint)
        stack.push_async_callback(client.close)
        engine = EmulatorEngine(client, hold_ms=hold_ms)
        catalog = EmulatorCatalog(client, engine.writer)
        google = FakeGoogle(project_id=project, engine=engine, catalog=catalog, port=port)
        await stack.enter_async_context(google)
        yield Front(google, child)
