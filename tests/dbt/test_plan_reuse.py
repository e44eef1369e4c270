"""The second run of a project in which nothing has changed: no dbt is run, and what is carried out is the same."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.airflow.compat import DAG
from cosmos_async.operators import ResultsAsyncOperator, SetupAsyncOperator
from cosmos_async.operators.plan_reuse import KEPT_PLAN_KEY
from cosmos_async.plan.kept import KeptPlan
from cosmos_async.plan.model import Index, Level, load_index, load_node
from cosmos_async.plan.node_plans import unpack
from cosmos_async.plan.outcome import Outcome, Status, load_outcome
from cosmos_async.plan.store import ADDRESS_KEY, PlanAddress, nodes_object, outcome_object
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.dbt import BigQueryDbtTrigger
from tests.dbt_versions import NEWEST
from tests.forked_dbt import forked_dbt
from tests.served import served_google
from tests.unit.triggers.bench import FakeAirflow, Log, event_of

pytestmark = pytest.mark.dbt

PROJECT = {
    "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: shop\n',
    "models/orders.sql": "{{ config(materialized='table') }} select {{ var('day', 1) }} as id, '{{ env_var('NAME', '') }}' as name",
    "models/grown.sql": "{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }} select id from {{ ref('orders') }}",
    "models/lines.sql": "select * from {{ ref('orders') }}",
    "seeds/codes.csv": "code,name\nde,Germany\n",
    "models/schema.yml": "models: [{name: orders, columns: [{name: id, data_tests: [not_null]}]}]\n",
}
ID = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]


class Runs:
    """One DAG's runs, as far as their setup and results tasks go."""

    def __init__(self, project: Path, google: FakeGoogle) -> None:
        self.project = project
        self.google = google
        self.xcoms: dict[tuple[str, str, str], Any] = {}
        self.options: dict[str, Any] = {}
        self.count = 0

    def setup(self, *, try_number: int = 1) -> Index:
        """Begin another run and return the index of its plan."""
        self.count += 1
        task = self._setup()
        task.execute({"ti": self._instance("setup", try_number)})
        address = PlanAddress.from_json(self.xcoms[self._run_id, "setup", ADDRESS_KEY])
        (index,) = (data for name, data in self.stored(address.folder) if "/index-" in name)
        return load_index(index)

    def carry_out(self, unique_id: str) -> Outcome:
        """Let the trigger carry a node's plan out, and return the outcome."""
        airflow = FakeAirflow()
        airflow.xcoms["setup", ADDRESS_KEY] = self.xcoms[self._run_id, "setup", ADDRESS_KEY]
        trigger = BigQueryDbtTrigger("node", unique_id, "setup", self._setup().identity)
        trigger.task_instance = self._instance("node", 1)
        trigger.airflow, trigger._log = airflow, Log()  # type: ignore[assignment]
        asyncio.run(event_of(trigger))
        address = PlanAddress.from_json(airflow.xcoms["setup", ADDRESS_KEY])
        found = dict(self.stored(address.folder))
        return load_outcome(found[f"{address.folder.removeprefix('gs://runs/')}/{outcome_object(unique_id)}"])

    def results(self, outcomes: list[Outcome]) -> None:
        """End the run."""
        with DAG("shop", schedule=None):
            task = ResultsAsyncOperator(task_id="results", setup=self._setup())
        context = {"ti": self._instance("results", 1)}
        from cosmos_async.operators.run_plan import RunPlan

        RunPlan(task, context).write_outcomes(outcomes)
        task.execute(context)

    def stored(self, folder: str) -> list[tuple[str, bytes]]:
        """Return what lies in a run's folder."""
        prefix = folder.removeprefix("gs://runs/")
        return [(name, data) for name, data in self.google.stored("runs").items() if name.startswith(prefix)]

    def kept(self) -> list[KeptPlan]:
        """Return the plans that are kept."""
        return [
            KeptPlan.load(data)
            for name, data in self.google.stored("runs").items()
            if "/~plans/" in name and name.endswith(".zip")
        ]

    def damage(self) -> None:
        """Let somebody else write to the place of the kept plan."""
        objects = self.google.objects.find("runs").objects
        for name in objects:
            if "/~plans/" in name:
                objects[name] = replace(objects[name], content=b"another")

    def plan(self, index: Index, name: str) -> Any:
        """Return a node's plan in the newest run."""
        address = PlanAddress.from_json(self.xcoms[self._run_id, "setup", ADDRESS_KEY])
        wanted = nodes_object(index.plans)
        packed = next(data for path, data in self.stored(address.folder) if path.endswith(wanted))
        return load_node(unpack(index, {wanted: packed})[f"model.shop.{name}"])

    @property
    def _run_id(self) -> str:
        return f"run {self.count}"

    def _setup(self) -> SetupAsyncOperator:
        mapping = GoogleCloudServiceAccountDictProfileMapping(
            conn_id="gcp", profile_args={"dataset": "shop", "project": "acme"}
        )
        with DAG("shop", schedule=None):
            return SetupAsyncOperator(
                task_id="setup",
                project_config=ProjectConfig(self.project),
                profile_config=ProfileConfig("shop", "prod", profile_mapping=mapping),
                execution_config=ExecutionConfig(dbt_executable_path=forked_dbt(NEWEST)),
                **self.options,
            )

    def _instance(self, task_id: str, try_number: int) -> Any:
        run_id = self._run_id

        def push(key: str, value: Any) -> None:
            self.xcoms[run_id, task_id, key] = json.loads(json.dumps(value))

        def pull(task_ids: str, key: str, map_indexes: int, *, include_prior_dates: bool = False) -> Any:
            found = [value for name, value in self.xcoms.items() if name[1:] == (task_ids, key)]
            own = self.xcoms.get((run_id, task_ids, key))
            return found[-1] if found and include_prior_dates else own

        return SimpleNamespace(
            dag_id="shop",
            run_id=run_id,
            task_id=task_id,
            try_number=try_number,
            map_index=-1,
            xcom_push=push,
            xcom_pull=pull,
        )


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A stand-in in a thread of its own."""
    with served_google("acme") as fake:
        fake.add_bucket("runs")
        fake.add_dataset("acme", "shop")
        fake.add_table("acme", "shop", "grown", schema=ID)
        fake.on_query("", schema=ID)
        yield fake


@pytest.fixture
def runs(google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """A DAG that has not run yet."""
    monkeypatch.setattr("cosmos_async.operators.setup.require_triggerer", lambda: None)
    connection = {
        "conn_type": "google_cloud_platform",
        "extra": {"keyfile_dict": json.dumps(google.key_file)},
    }
    for name, value in {
        "AIRFLOW_CONN_GCP": json.dumps(connection),
        "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": "gs://runs/plans",
        "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.storage_endpoint,
        "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.bigquery_endpoint,
        "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(tmp_path / "cache"),
        "AIRFLOW__COSMOS_ASYNC__REUSE_PLANS": "True",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }.items():
        monkeypatch.setenv(name, value)
    project = tmp_path / "project"
    for name, text in PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    return Runs(project, google)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Tells how often dbt was recorded."""
    from cosmos_async.dbt.session import Dbt

    record, count = Dbt.record, []

    def counting(*args: Any, **kwargs: Any) -> Any:
        count.append(1)
        return record(*args, **kwargs)

    monkeypatch.setattr(Dbt, "record", counting)
    return lambda: len(count)


def test_an_unchanged_project_is_not_planned_again(
    runs: Runs, google: FakeGoogle, recorded: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its jobs are the new run's, what is another each time is planned at its turn, and nothing is changed anywhere."""
    (runs.project / "models/stamped.sql").write_text("select '{{ run_started_at }}' as at")
    runs.setup()
    assert (
        "serves this run alone: while the project is parsed, it uses run_started_at"
        in capsys.readouterr().out
    )
    first = runs.setup()  # which has parsed nothing
    incremental = str(runs.plan(first, "grown").steps)
    capsys.readouterr()

    second = runs.setup()

    assert recorded() == 2
    said = capsys.readouterr().out
    assert "The plan of run run 2 is used again" in said
    assert "1 of 6 nodes are planned at their turn" in said
    assert second.run.run_id == "run 3"
    assert second.run.invocation_id != first.run.invocation_id
    assert second.run.nonce != first.run.nonce
    assert second.run.created_at > first.run.created_at
    assert first.nodes["model.shop.stamped"].level is Level.STATIC
    assert second.nodes["model.shop.stamped"].level is Level.LATE
    assert "run_started_at" in second.nodes["model.shop.stamped"].reason
    plan = runs.plan(second, "orders")
    assert plan.steps[-1].configuration["labels"] == {"dbt_invocation_id": second.run.invocation_id}
    again = str(runs.plan(second, "grown").steps)
    assert "__dbt_tmp" in incremental
    assert incremental != again.replace(
        second.run.invocation_id, first.run.invocation_id
    )  # its temporary table
    assert [str(one) for one in google.mutations if "/storage/" not in str(one)] == []
    assert len(runs.kept()) == 1

    third = runs.setup()

    assert recorded() == 2
    assert third.nodes["model.shop.stamped"].level is Level.LATE


CHANGES: dict[str, tuple[Callable[[Runs], Any], str]] = {
    "a model": (
        lambda runs: (runs.project / "models/lines.sql").write_text("select 3 as id"),
        "the project's files (models/lines.sql) changed",
    ),
    "a variable": (lambda runs: runs.options.update(vars={"day": 2}), "the options changed"),
    "a table that is gone": (
        lambda runs: runs.google.catalog.remove_table("acme", "shop", "grown"),
        "acme.shop.grown came or went",
    ),
    "the kept plan": (lambda runs: runs.damage(), "is not what the setup task wrote"),
    "its own try": (lambda runs: None, ""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_has_the_run_planned_anew(
    runs: Runs, recorded: Callable[[], int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The log says what it was; and whoever clears setup asks for a new plan."""
    change, words = CHANGES[name]
    runs.setup()

    change(runs)
    index = runs.setup(try_number=2 if name == "its own try" else 1)

    assert recorded() == 2
    assert words in capsys.readouterr().out
    assert len(runs.kept()) == 1  # the newest
    assert index.run.tasks is not None  # so that whoever was ahead by the plan before can be judged
    assert index.run.planned_anew is (name == "its own try")


def test_it_can_be_switched_off(
    runs: Runs, recorded: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the operator of Airflow; nothing is kept then."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__REUSE_PLANS", "False")

    runs.setup()
    runs.setup()

    assert recorded() == 2
    assert runs.kept() == []


@pytest.mark.parametrize("level", [Level.STATIC, Level.LATE], ids=["as planned", "anew"])
def test_a_plan_that_did_not_fit_is_not_used_again(
    runs: Runs, recorded: Callable[[], int], level: Level
) -> None:
    """A node that was planned at its turn, as a guard had differed, would be so each time."""
    index = runs.setup()
    at = "2026-01-01T00:00:00+00:00"
    runs.results(
        [
            Outcome(
                "model.shop.orders", Status.SUCCESS, "OK", level, started_at=at, completed_at=at, try_number=1
            )
        ]
    )

    runs.setup()

    assert index.nodes["model.shop.orders"].level is Level.STATIC
    assert recorded() == (1 if level is Level.STATIC else 2)
    assert runs.xcoms["run 2", "setup", KEPT_PLAN_KEY]["run_id"] == (
        "run 1" if level is Level.STATIC else "run 2"
    )


def test_what_is_assumed_in_vain_is_planned_at_its_turn_from_the_second_time_on(
    runs: Runs, google: FakeGoogle, recorded: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first time the next run learns what is there by then; what never stays the same does not cost a dbt each time."""
    name = "model.shop.pivot"
    (runs.project / "models/pivot.sql").write_text(
        "-- depends_on: {{ ref('orders') }}\n"
        "select '{{ run_query('select id from ' ~ ref('orders')).columns[0].values() | join(',') if execute }}' as ids"
    )
    google.add_table("acme", "shop", "orders", schema=ID)
    google.on_query("^((?!create).)*select id from", rows=[{"id": 7}], schema=ID)
    at = "2026-01-01T00:00:00+00:00"
    late = Outcome(name, Status.SUCCESS, "OK", Level.LATE, started_at=at, completed_at=at, try_number=1)

    levels = []
    for _ in range(4):
        index = runs.setup()
        levels.append((index.nodes[name].level, recorded()))
        runs.results([late])

    assert levels == [(Level.GUARDED, 1), (Level.GUARDED, 2), (Level.LATE, 2), (Level.LATE, 2)]
    assert "1 of 6 nodes are planned at their turn" in capsys.readouterr().out
    assert "in a run before this one" in index.nodes[name].reason


def test_a_seed_that_has_not_changed_is_passed_by(runs: Runs, google: FakeGoogle) -> None:
    """Whether its plan is recorded or used again; dbt's statements for a described seed are what was done before."""
    runs.options = {"seeds_when_changed": True}
    file = runs.project / "seeds" / "codes.csv"
    (runs.project / "seeds" / "codes.yml").write_text(
        "seeds: [{name: codes, description: of countries, columns: [{name: code, description: two letters}],"
        " config: {persist_docs: {relation: true, columns: true}}}]\n"
    )

    told = []
    for content in (file.read_text(), file.read_text(), file.read_text(), "code,name\nfr,France\n"):
        file.write_text(content)
        runs.setup()
        outcome = runs.carry_out("seed.shop.codes")
        told.append((outcome.status.value, outcome.message, len(outcome.jobs) > 0))
    passed_by = ("no-op", "unchanged since it was loaded", False)

    assert told == [("success", "INSERT 1", True), passed_by, passed_by, ("success", "INSERT 1", True)]
    assert google.catalog.stored_rows("acme", "shop", "codes") == [{"f": [{"v": "fr"}, {"v": "France"}]}]
