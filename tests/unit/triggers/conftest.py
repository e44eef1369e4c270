"""
A run's plan in a bucket of the stand-in, and triggers that carry it out, on an event loop that must not be blocked.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

import cosmos_async
import cosmos_async.triggers
from cosmos_async.testing import FakeGoogle
from tests.unit.triggers.bench import Bench, FakeClock


@pytest.fixture(autouse=True)
def blocking_is_an_error() -> Iterator[BlockBuster]:
    """
    Whatever blocks the event loop from within our code raises BlockingError.

    Both folders are named: triggers/ is reached through a link, and the gate finds modules by their path.
    """
    gate = BlockBuster(
        scanned_modules=[cosmos_async, cosmos_async.triggers],
        # The stand-in is a server in the same process; what it does is not ours.
        excluded_modules=["cosmos_async.testing"],
    )
    gate.activate()
    yield gate
    gate.deactivate()


@pytest.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    """A stand-in with one dataset and one bucket."""
    async with FakeGoogle(project_id="p") as started:
        started.add_dataset("p", "shop")
        started.add_bucket("plans")
        yield started


@pytest.fixture
def identity(google: FakeGoogle, tmp_path: Path) -> dict[str, Any]:
    """A target of a profiles.yml, whose key the stand-in knows."""
    path = tmp_path / "profiles.yml"
    output = {
        "type": "bigquery",
        "method": "service-account-json",
        "project": "p",
        "dataset": "shop",
        "keyfile_json": google.key_file,
    }
    # JSON is YAML, too.
    path.write_text(json.dumps({"shop": {"outputs": {"prod": output}}}), encoding="utf-8")
    return {"profiles_yml": str(path), "profile": "shop", "target": "prod"}


@pytest.fixture
def endpoints(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings lead to the stand-in; variables that could lead elsewhere are gone."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", google.bigquery_endpoint)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", google.storage_endpoint)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bench(google: FakeGoogle, identity: dict[str, Any], endpoints: None) -> Bench:
    """A stand-in without a plan."""
    return Bench(google, identity)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock for the sessions of triggers, which make their own."""
    from cosmos_async.triggers.google import session

    fake = FakeClock()
    monkeypatch.setattr(session, "_real_clock", fake)
    monkeypatch.setitem(session.shared_session.__wrapped__.__kwdefaults__, "clock", fake)  # type: ignore[attr-defined]
    return fake
