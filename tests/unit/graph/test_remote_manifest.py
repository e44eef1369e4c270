"""A manifest in Cloud Storage: read once per content, and in bounded time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.exceptions import ConfigError, ProfileError, ProjectError
from cosmos_async.graph import Graph, load_graph, remote_manifest
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from cosmos_async.testing import FakeGoogle
from tests.served import served_google

URI = "gs://deployed/shop/manifest.json"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, manifest_path: Path) -> Iterator[FakeGoogle]:
    """A bucket with the manifest, and the connection ``gcp`` that may read it."""
    with served_google("acme") as fake:
        extra = {"keyfile_dict": json.dumps(fake.key_file)}
        connection = {"conn_type": "google_cloud_platform", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", fake.storage_endpoint)
        fake.add_bucket("deployed")
        deploy(fake, manifest_path.read_bytes())
        yield fake


@pytest.fixture(autouse=True)
def _asks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process does that imports a DAG file for the first time."""
    monkeypatch.setattr(remote_manifest, "_ASK_AGAIN", 0.0)
    monkeypatch.setattr(remote_manifest, "_asked", {})


def deploy(google: FakeGoogle, content: bytes) -> None:
    google.objects.write(google.objects.find("deployed"), "shop/manifest.json", content, {}, {})


def downloads(google: FakeGoogle) -> list[bool]:
    """Return the requests for the object, each with whether it was for the content."""
    return [
        request.query.get("alt") == "media"
        for request in google.requests
        if request.operation == "objects.get"
    ]


@pytest.fixture
def load(shop: Path, google: FakeGoogle) -> Callable[..., Graph]:
    """Import the DAG file, so to say."""

    def load(render: RenderConfig | None = None, uri: str = URI, conn_id: str | None = None) -> Graph:
        mapping = GoogleCloudServiceAccountDictProfileMapping("gcp", {"dataset": "shop"})
        project = ProjectConfig(shop, manifest_path=uri, manifest_conn_id=conn_id)
        profile = ProfileConfig("corner_shop", "dev", profile_mapping=mapping)
        return load_graph(project, profile, ExecutionConfig(), render or RenderConfig())

    return load


def test_a_manifest_is_read_once_per_content(
    load: Callable[..., Graph], google: FakeGoogle, manifest: dict[str, Any]
) -> None:
    """Every import asks whether it is another one; the profile's own connection reads it."""
    assert "model.corner_shop.orders" in load().nodes
    assert load() == load()
    assert downloads(google) == [False, True, False, False]

    del manifest["nodes"]["model.corner_shop.order_history"]
    deploy(google, json.dumps(manifest).encode())

    assert "model.corner_shop.order_history" not in load().nodes
    assert downloads(google)[4:] == [False, True]


def test_a_process_asks_once_in_a_while(
    load: Callable[..., Graph], google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DAG file may have several groups of one project."""
    monkeypatch.setattr(remote_manifest, "_ASK_AGAIN", 3600.0)
    load()
    load()

    assert downloads(google) == [False, True]


def test_the_connection_of_the_manifest_reads_it(load: Callable[..., Graph]) -> None:
    """And no other one."""
    with pytest.raises(ProfileError, match="no connection 'elsewhere'"):
        load(conn_id="elsewhere")


def test_a_manifest_is_read_where_a_loop_runs(load: Callable[..., Graph]) -> None:
    """As in a notebook."""

    async def imported() -> Graph:
        return load()

    assert "model.corner_shop.orders" in asyncio.run(imported()).nodes


@pytest.mark.parametrize("uri", ["gs://deployed/nothing.json", "gs://nowhere/manifest.json"])
def test_a_manifest_that_is_not_there_is_named(load: Callable[..., Graph], uri: str) -> None:
    """With Google's own words."""
    with pytest.raises(ProjectError, match=rf"manifest_path {uri} does not exist\. .*dbt parse"):
        load(uri=uri)


def test_a_manifest_that_may_not_be_read_names_the_account_and_the_role(
    load: Callable[..., Graph], google: FakeGoogle
) -> None:
    """The person knows what to grant, to whom, where."""
    google.add_bucket("closed", forbidden=True)

    with pytest.raises(
        ProjectError, match=r"may not be read.*roles/storage\.objectViewer.*manifest_conn_id"
    ) as no:
        load(uri="gs://closed/manifest.json")
    assert google.email in str(no.value)


def test_what_is_no_manifest_is_named(load: Callable[..., Graph], google: FakeGoogle) -> None:
    """As for one of this machine."""
    deploy(google, b"{}")

    with pytest.raises(ProjectError, match="has no nodes: it is not dbt's manifest"):
        load()


@pytest.fixture
def silent(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let Google answer no more, and nobody wait long for it."""

    def fall_silent() -> None:
        google.hold("objects.get", times=None)
        monkeypatch.setattr("cosmos_async.graph.load.LONGEST", 0.3)

    return fall_silent


def test_google_does_not_hold_up_an_import_for_long(
    load: Callable[..., Graph], silent: Callable[[], None]
) -> None:
    """Airflow would end it without a word of ours."""
    silent()

    with pytest.raises(ProjectError, match=r"cannot be read: .*no answer within.*deploy manifest\.json"):
        load()


def test_the_last_manifest_serves_while_google_does_not_answer(
    load: Callable[..., Graph], silent: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning: a DAG that goes away is worse than one of yesterday."""
    before = load()
    silent()

    with caplog.at_level(logging.WARNING):
        assert load() == before
    assert "made of the manifest that was read last" in caplog.text


def test_old_copies_are_forgotten(
    load: Callable[..., Graph], google: FakeGoogle, cache: Path, manifest_path: Path
) -> None:
    """But for the one before, which another process may be about to read."""
    for _ in range(3):
        deploy(google, manifest_path.read_bytes())
        load()
        for age, copy in enumerate(sorted((cache / "manifests").rglob("*.json"))[::-1]):
            os.utime(copy, (1_000_000 - age, 1_000_000 - age))
    deploy(google, manifest_path.read_bytes())
    load()

    assert len(list((cache / "manifests").rglob("*.json"))) == 2


def test_a_selection_needs_a_dbt_and_says_so(
    load: Callable[..., Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest does not say what a selection means."""
    monkeypatch.setattr("cosmos_async.graph.load._Loader._dbt", lambda self: (None, None))
    monkeypatch.setattr("cosmos_async.graph.load.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"asked of dbt\. No dbt is here.*leave the selection out"):
        load(RenderConfig(select=["tag:mart"]))


def test_a_local_manifest_costs_no_client() -> None:
    """Only whoever reads from Cloud Storage imports one."""
    from tests.unit.test_imports import heavy, modules_after

    airflow = modules_after("from cosmos_async.airflow.compat import DAG")
    assert heavy(modules_after("import cosmos_async.graph.remote_manifest") - airflow) == set()
