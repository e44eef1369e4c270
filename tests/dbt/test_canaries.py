"""
Nothing secret is written by a whole run: DAG, setup with a real dbt, trigger, real dbt on a worker, results.
"""

from __future__ import annotations

import asyncio
import json
import logging
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cosmos_async import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.kept import KeptPlan
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from cosmos_async.testing import FakeGoogle
from tests.dbt_versions import NEWEST
from tests.forked_dbt import real_dbt
from tests.served import served_google
from tests.unit.airflow.outlets import outlet_events, sent
from tests.unit.triggers.bench import FakeAirflow, Log
from tests.unit.triggers.test_secrets import CLIENT_SECRET, REFRESH_TOKEN, seen_in

pytestmark = pytest.mark.dbt

DBT = real_dbt(NEWEST)

#: Secrets of the project beside those of its profile: in the DAG's arguments and in the worker's environment.
CANARIES = {
    "DBT_ENV_SECRET_OF_DAG": "canary-of-the-dag",
    "DBT_ENV_SECRET_OF_WORKER": "canary-of-the-worker",
    "PLAIN_PASSWORD": "canary-in-plain-env",
}

PROJECT = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: shop
        """,
    "models/orders.sql": "{{ config(materialized='table') }} select 1 as id",
    "models/late.py": "def model(dbt, session): return None\n",
    "models/lines.sql": "select * from {{ ref('orders') }}",
    "models/schema.yml": """
        models:
          - name: orders
            columns:
              - name: id
                data_tests: [not_null]
        """,
}


class Instance:
    """A task instance, as much as operators ask of it."""

    dag_id, run_id, try_number, map_index = "shop", "manual__1", 1, -1

    def __init__(self, xcoms: dict[tuple[str, str], Any]) -> None:
        self.task_id = "dbt_setup_async"
        self.xcoms = xcoms

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        self.xcoms[self.task_id, key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int, include_prior_dates: bool = False) -> Any:
        """Return it."""
        return self.xcoms.get((task_ids, key))


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A stand-in in a thread of its own."""
    with served_google("acme") as fake:
        fake.add_bucket("runs")
        fake.add_dataset("acme", "shop")
        yield fake


@pytest.fixture
def world(google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and an environment that leads to the stand-in; returns the project's folder."""
    monkeypatch.setattr("cosmos_async.operators.setup.require_triggerer", lambda: None)
    for name, value in {
        "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": "gs://runs/plans",
        "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.storage_endpoint,
        "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.bigquery_endpoint,
        "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(tmp_path / "cache"),
        "AIRFLOW__COSMOS_ASYNC__REUSE_PLANS": "True",
        "DBT_ENV_SECRET_OF_WORKER": CANARIES["DBT_ENV_SECRET_OF_WORKER"],
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "project"
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def profile_of(method: str, google: FakeGoogle, tmp_path: Path, monkeypatch: Any) -> ProfileConfig:
    """Return a profile that authenticates by *method*."""
    arguments = {"dataset": "shop", "project": "acme"}
    if method == "connection, key":
        extra = {"keyfile_dict": json.dumps(google.key_file)}
        connection = {"conn_type": "google_cloud_platform", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
        mapping = GoogleCloudServiceAccountDictProfileMapping(conn_id="gcp", profile_args=arguments)
        return ProfileConfig("shop", "prod", profile_mapping=mapping)
    google.tokens.add_login(
        google.email, client_id="client", client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN
    )
    output = {
        "type": "bigquery",
        "threads": 2,
        "location": "US",
        **arguments,
        "method": "oauth-secrets",
        "refresh_token": REFRESH_TOKEN,
        "client_id": "client",
        "client_secret": CLIENT_SECRET,
        "token_uri": f"{google.endpoint}/token",
    }
    path = tmp_path / "profiles.yml"
    path.write_text(yaml.safe_dump({"shop": {"outputs": {"prod": output}}}))
    return ProfileConfig("shop", "prod", profiles_yml_filepath=path)


def make_dag(world: Path, profile: ProfileConfig) -> Any:
    """Return the project as a DAG, canaries in its arguments: in one place or the other, never in both."""
    variables = {name: value for name, value in CANARIES.items() if not name.endswith("OF_WORKER")}
    by_project = profile.profile_mapping is not None
    return DbtDag(
        dag_id="shop",
        project_config=ProjectConfig(world, env_vars=variables if by_project else None),
        profile_config=profile,
        execution_config=ExecutionConfig(dbt_executable_path=DBT),
        operator_args={} if by_project else {"env": variables},
        schedule=None,
        start_date=datetime(2026, 1, 1),
    )


class Everything:
    """All that a run has written, wherever to."""

    def __init__(self, google: FakeGoogle, caplog: pytest.LogCaptureFixture, cache: Path) -> None:
        self._google = google
        self._caplog = caplog
        self._cache = cache
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.told: list[str] = []  #: trigger arguments, events, messages

    def text(self) -> str:
        """Return it as one text."""
        formatter = logging.Formatter("%(message)s")
        stored = self._google.stored("runs").items()
        kept = [path for path in self._cache.rglob("*") if path.is_file()]
        return "\n".join(
            [
                *self.told,
                json.dumps(list(self.xcoms.items()), default=str),
                *(formatter.format(record) + (record.exc_text or "") for record in self._caplog.records),
                *(name + data.decode("utf-8", "replace") for name, data in stored),
                *(str(KeptPlan.load(data)) for name, data in stored if "/~plans/" in name),
                *(str(path) + path.read_bytes().decode("utf-8", "replace") for path in kept),
                # What BigQuery keeps of a job is readable by the whole team.
                *(json.dumps(job.spec.configuration, default=str) for job in self._google.jobs),
            ]
        )


@pytest.fixture
def everything(
    google: FakeGoogle, world: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> Everything:
    """What is searched."""
    caplog.set_level(logging.DEBUG)
    return Everything(google, caplog, tmp_path / "cache")


def all_secrets(google: FakeGoogle) -> list[str]:
    """Return everything that must not be seen."""
    key = google.key_file
    lines = [line for line in key["private_key"].splitlines() if "-----" not in line]
    known = [REFRESH_TOKEN, CLIENT_SECRET, key["private_key_id"], *lines, *CANARIES.values()]
    return [*known, *google.tokens.secrets]


def serialized(dag: Any) -> str:
    """Return what Airflow keeps of a DAG."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serializer
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serializer
    return json.dumps(Serializer.to_dict(dag), default=str)


def run_trigger(task: Any, everything: Everything) -> Any:
    """Run a task's trigger, and on a worker what it leaves to one."""
    trigger = task._trigger()
    instance = Instance(everything.xcoms)
    instance.task_id = task.task_id
    trigger.task_instance = SimpleNamespace(
        dag_id="shop", run_id="manual__1", task_id=task.task_id, map_index=-1, try_number=1
    )
    log, airflow = Log(), FakeAirflow(xcoms=everything.xcoms)
    trigger.airflow, trigger._log = airflow, log

    async def events() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(events())
    payload = getattr(event, "payload", None)
    everything.told += [
        repr(event),
        json.dumps(payload, default=str),
        log.text,
        json.dumps(trigger.serialize()),
    ]
    everything.told.append(json.dumps(airflow.left, default=str))
    if isinstance(payload, dict):
        try:
            task.execute_complete({"ti": instance}, payload)
        except Exception as error:
            everything.told.append(f"{type(error)} {error}")
    return event


#: One of an Airflow connection, one of a user's own profiles.yml; tests/unit/triggers/test_secrets.py has the rest.
METHODS = ["connection, key", pytest.param("profile, refresh token", marks=pytest.mark.slow)]


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_run_writes_no_secret(
    method: str,
    google: FakeGoogle,
    world: Path,
    everything: Everything,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The DAG, the plan, dbt's artifacts, XComs, every log, also of real dbt on a worker and of what failed."""
    dag = make_dag(world, profile_of(method, google, tmp_path, monkeypatch))
    everything.told.append(serialized(dag))
    tasks = {task.task_id: task for task in dag.tasks}
    setup = tasks["dbt_setup_async"]

    setup.execute({"ti": Instance(everything.xcoms)})
    for name in ("orders.run", "orders.test", "lines_run", "late_run"):
        run_trigger(tasks[name], everything)
    results = Instance(everything.xcoms)
    results.task_id = "dbt_results_async"
    events = outlet_events()
    tasks["dbt_results_async"].execute({"ti": results, "outlet_events": events})
    assert sent(events)
    everything.told.append(str(sent(events)))

    assert any(name.endswith("run_results.json") for name in google.stored("runs"))
    assert any("/~plans/" in name for name in google.stored("runs"))
    assert seen_in(everything.text(), all_secrets(google)) == []


def test_a_dbt_that_fails_tells_no_secret(
    google: FakeGoogle,
    world: Path,
    everything: Everything,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """dbt's own words are in the task's error, without the values a project takes from the environment."""
    (world / "models" / "orders.sql").write_text(
        "{{ exceptions.raise_compiler_error(env_var('DBT_ENV_SECRET_OF_DAG')) }}"
    )
    profile = profile_of("profile, refresh token", google, tmp_path, monkeypatch)

    with pytest.raises(CosmosAsyncError, match="DBT_ENV_SECRET_OF_DAG") as caught:
        make_dag(world, profile)

    everything.told.append(str(caught.value))
    assert seen_in(everything.text(), all_secrets(google)) == []


def test_a_dbt_that_gets_no_token_tells_no_secret(
    google: FakeGoogle,
    world: Path,
    everything: Everything,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused key is when clients like to quote what they sent."""
    dag = make_dag(world, profile_of("profile, refresh token", google, tmp_path, monkeypatch))
    setup = next(task for task in dag.tasks if task.task_id == "dbt_setup_async")
    monkeypatch.setattr(setup, "planned_run", lambda folder, first: "nonce")
    google.tokens.deny()

    with pytest.raises(CosmosAsyncError) as caught:
        setup.execute({"ti": Instance(everything.xcoms)})

    everything.told.append(str(caught.value))
    assert seen_in(everything.text(), all_secrets(google)) == []
