"""What setup refuses before dbt runs, in words that name the setting and the way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.airflow.compat import DAG
from cosmos_async.exceptions import ConfigError, CosmosAsyncError, ProfileError, StoreError
from cosmos_async.operators import SetupAsyncOperator
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from cosmos_async.testing import FakeGoogle
from tests.served import served_google


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A stand-in in a thread of its own, as an operator enters its own event loop."""
    with served_google("acme") as fake:
        yield fake


class Instance:
    """A task instance, as much as setup asks of it."""

    dag_id, run_id, task_id, try_number = "shop", "manual__1", "dbt_setup_async", 1
    map_index = -1

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        self.xcoms[key] = value


@pytest.fixture
def run_setup(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a setup task whose dbt does not exist: only what comes before dbt can happen."""
    monkeypatch.setattr("cosmos_async.operators.setup.require_triggerer", lambda: None)
    connection = {
        "conn_type": "google_cloud_platform",
        "extra": {"keyfile_dict": json.dumps(google.key_file)},
    }
    monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", google.storage_endpoint)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", google.bigquery_endpoint)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: shop\n")

    def run(store: str | None) -> Instance:
        if store is not None:
            monkeypatch.setenv("AIRFLOW__COSMOS__REMOTE_TARGET_PATH", store)
        mapping = GoogleCloudServiceAccountDictProfileMapping(
            conn_id="gcp", profile_args={"dataset": "shop", "project": "acme"}
        )
        with DAG("shop", schedule=None):
            task = SetupAsyncOperator(
                task_id="dbt_setup_async",
                project_config=ProjectConfig(tmp_path),
                profile_config=ProfileConfig("shop", "prod", profile_mapping=mapping),
                execution_config=ExecutionConfig(dbt_executable_path=tmp_path / "no-dbt"),
            )
        instance = Instance()
        task.execute({"ti": instance})
        return instance

    return run


def test_a_missing_bucket_is_named_before_dbt_runs(run_setup: Any) -> None:
    """Nobody waits minutes for dbt to learn it."""
    with pytest.raises(StoreError, match=r"gs://nowhere does not exist.*remote_target_path"):
        run_setup("gs://nowhere/plans")


def test_a_forbidden_bucket_names_the_account_and_the_role(run_setup: Any, google: FakeGoogle) -> None:
    """The person knows what to grant, to whom, where."""
    google.add_bucket("closed", forbidden=True)

    with pytest.raises(StoreError, match=r"gs://closed.*roles/storage\.objectAdmin") as refused:
        run_setup("gs://closed/plans")
    assert google.email in str(refused.value)


def test_a_store_of_another_kind_is_refused(run_setup: Any) -> None:
    """Plans lie in Cloud Storage or in a local folder."""
    with pytest.raises(StoreError, match="s3://bucket"):
        run_setup("s3://bucket/plans")


def test_a_connection_of_another_type_is_named(
    run_setup: Any, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Postgres connection under the profile's conn_id is not tried."""
    google.add_bucket("runs")
    monkeypatch.setenv(
        "AIRFLOW_CONN_GCP", json.dumps({"conn_type": "postgres", "host": "db", "password": "hush"})
    )

    with pytest.raises(ProfileError, match=r"gcp.*postgres") as refused:
        run_setup("gs://runs/plans")
    assert "hush" not in str(refused.value)


def test_a_missing_dbt_is_named_and_leaves_no_address(run_setup: Any, google: FakeGoogle) -> None:
    """The first object is there, the plan is not, and no task would read one."""
    google.add_bucket("runs")

    with pytest.raises(CosmosAsyncError, match="no-dbt"):
        run_setup("gs://runs/plans")
    assert not [name for name in google.stored("runs") if "/plan/" in name]


def test_without_a_configured_place_a_folder_of_this_machine_serves(run_setup: Any, tmp_path: Path) -> None:
    """A laptop needs no bucket."""
    with pytest.raises(CosmosAsyncError, match="no-dbt"):
        run_setup(None)
    assert list((tmp_path / "cache").rglob("README.txt"))


def test_an_airflow_without_a_triggerer_is_refused_first(
    run_setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is planned that nobody would execute."""

    def nobody() -> None:
        raise ConfigError("Airflow has no running triggerer")

    monkeypatch.setattr("cosmos_async.operators.setup.require_triggerer", nobody)
    with pytest.raises(ConfigError, match="no running triggerer"):
        run_setup("gs://nowhere/plans")


@pytest.mark.parametrize(
    ("executor", "store", "stops"),
    [
        ("LocalExecutor", None, False),
        ("CeleryExecutor", None, True),
        ("LocalExecutor,KubernetesExecutor", None, True),
        ("CeleryExecutor", "gs://runs/dbt", False),
        ("CeleryExecutor", "/shared", False),
    ],
)
def test_a_folder_that_the_triggerer_may_not_see_stops_setup(
    run_setup: Any,
    google: FakeGoogle,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    executor: str,
    store: str | None,
    stops: bool,
) -> None:
    """Before dbt runs for minutes, and before the first node fails; who shares a folder names it."""
    google.add_bucket("runs")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    named = str(tmp_path / "shared") if store == "/shared" else store

    if stops:
        with pytest.raises(
            ConfigError, match=r"remote_target_path is not set, and with (Celery|Kubernetes)Executor .* gs://"
        ):
            run_setup(named)
        return
    with pytest.raises(CosmosAsyncError, match="no-dbt"):
        run_setup(named)
