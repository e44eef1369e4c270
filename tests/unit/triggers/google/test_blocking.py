"""A worker's code, which blocks: what it asks of Google, one after the other, goes through one session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.store import PlanAddress
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.google.blocking import one_loop, run_until_complete
from cosmos_async.triggers.storage.documents import read_object, write_objects
from tests.served import served_google

PLACE = PlanAddress("gs://plans/run", index="", host="")
IDENTITY = {"conn_id": "gcp"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """A bucket, and the connection ``gcp`` that may read and write it."""
    with served_google("acme") as fake:
        extra = {"keyfile_dict": json.dumps(fake.key_file)}
        monkeypatch.setenv(
            "AIRFLOW_CONN_GCP", json.dumps({"conn_type": "google_cloud_platform", "extra": extra})
        )
        monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", fake.storage_endpoint)
        fake.add_bucket("plans")
        yield fake


def write_and_read(name: str) -> None:
    run_until_complete(write_objects(PLACE, {name: b"content"}, identity=IDENTITY))
    assert run_until_complete(read_object(PLACE, name, identity=IDENTITY)) == b"content"


def test_within_one_loop_one_token_serves_all(google: FakeGoogle) -> None:
    """Also where a function that has a loop of its own calls another that would have one."""
    with one_loop():
        write_and_read("a")
        with one_loop():
            write_and_read("b")
        write_and_read("c")

    assert google.tokens.issued == 1


def test_outside_each_has_its_own(google: FakeGoogle) -> None:
    """As ``asyncio.run``: nothing is open afterwards."""
    with one_loop():
        write_and_read("a")
    write_and_read("b")

    assert google.tokens.issued == 3


def test_a_session_that_could_not_be_opened_is_not_kept(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is mended meanwhile is found."""
    connection = {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": "no key"}}
    with one_loop():
        with monkeypatch.context() as broken:
            broken.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
            with pytest.raises(CosmosAsyncError, match="gcp"):
                write_and_read("a")
        write_and_read("a")


def test_what_a_signal_breaks_off_is_ended(google: FakeGoogle) -> None:
    """Airflow ends a task by an exception out of a signal handler, wherever the task is."""
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def broken_off() -> None:
        asyncio.get_running_loop().create_task(wait())
        await asyncio.sleep(0)
        raise SystemExit("terminated")

    def task() -> None:
        with one_loop():
            write_and_read("a")
            run_until_complete(broken_off())

    with pytest.raises(SystemExit):
        task()

    assert ended == [True]
