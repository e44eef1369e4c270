"""What is sent through Airflow's OpenLineage provider, where that is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from cosmos_async.airflow import openlineage
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG
from cosmos_async.operators.node import DbtRunAsyncOperator
from cosmos_async.plan.lineage import (
    Assertion,
    Column,
    Dataset,
    RunLineage,
    Tables,
    TaskEvent,
    TaskLineage,
)

if not openlineage.is_supported():
    pytest.skip("the provider is not there, or too old", allow_module_level=True)

MOMENT = datetime(2026, 3, 4, tzinfo=timezone.utc)
AT = "2026-03-04T00:00:05+00:00"
JOB = {
    "jobReference": {"jobId": "cosmos_orders_1", "projectId": "p"},
    "configuration": {"jobType": "QUERY", "query": {"query": "select 1", "priority": "BATCH"}},
    "statistics": {"query": {"totalBytesBilled": "1024", "cacheHit": False}},
}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file to which the provider's client writes its events."""
    path = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(path), "append": True}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "prod")
    for function in (openlineage.is_active, openlineage._adapter):
        function.cache_clear()
    yield path
    for function in (openlineage.is_active, openlineage._adapter):
        function.cache_clear()


@pytest.fixture
def context() -> dict[str, Any]:
    """The context of the setup task, with a node's task beside it."""
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter  # noqa: F401 - as in any worker

    with DAG("shop", tags=["dbt"], description="The shop") as dag:
        about: dict[str, Any] = {"setup_task_id": "setup", "identity": {"conn_id": "gcp"}}
        node = DbtRunAsyncOperator(
            task_id="orders.run", unique_id="model.shop.orders", owner="bob, ann", doc_md="Orders", **about
        )
        setup = DbtRunAsyncOperator(task_id="setup", unique_id="model.shop.orders", **about)
    dag_run = SimpleNamespace(
        dag_id="shop",
        run_id="r1",
        logical_date=MOMENT,
        run_after=MOMENT,
        clear_number=1,
        conf={"password": "hunter2"},
        data_interval_start=MOMENT,
        data_interval_end=MOMENT,
    )
    instance: dict[str, Any] = {"dag_id": "shop", "task_id": "setup", "run_id": "r1", "map_index": -1}
    if AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti: Any = RuntimeTaskInstance.model_construct(
            id=UUID(int=1), task=setup, try_number=1, start_date=MOMENT, **instance
        )
    else:
        ti = SimpleNamespace(task=setup, try_number=1, dag_run=dag_run, **instance)
    return {"ti": ti, "dag": dag, "dag_run": dag_run, "task": setup, "node": node}


def event(context: dict[str, Any], state: str = "COMPLETE", **more: Any) -> TaskEvent:
    """Return an event of the node's task."""
    task = openlineage.of_task(context, context["node"])
    assert task is not None
    run = RunLineage(**openlineage.of_run(context))
    return TaskEvent("shop", "orders.run", -1, 2, state, AT, run, TaskLineage(**task), **more)


def sent(path: Path) -> list[dict[str, Any]]:
    """Return the events that the client has written."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_start_has_a_run_a_job_and_a_parent(told: Path, context: dict[str, Any]) -> None:
    """As the provider's listener sends it on a worker; it tells of no tables, as that does for Google's operators."""
    openlineage.send(event(context, "START"))

    (start,) = sent(told)
    assert (start["eventType"], start["eventTime"]) == ("START", AT)
    assert (start["job"]["namespace"], start["job"]["name"]) == ("prod", "shop.orders.run")
    assert (start["inputs"], start["outputs"]) == ([], [])
    facets = start["run"]["facets"]
    assert facets["parent"]["job"] == facets["parent"]["root"]["job"]
    assert facets["parent"]["job"]["name"] == "shop"
    assert facets["nominalTime"]["nominalStartTime"] == MOMENT.isoformat()
    assert facets["processing_engine"]["name"] == "Airflow"
    job = start["job"]["facets"]
    assert job["jobType"]["jobType"] == "TASK"
    assert [owner["name"] for owner in job["ownership"]["owners"]] == ["ann", "bob"]
    assert [tag["key"] for tag in job["tags"]["tags"]] == ["dbt"]


def test_ids_are_those_of_the_listener(told: Path, context: dict[str, Any]) -> None:
    """A task that begins on a worker and ends in the triggerer is one run, and its parent is the DAG's."""
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

    openlineage.send(event(context))

    (end,) = sent(told)
    assert end["run"]["runId"] == OpenLineageAdapter.build_task_instance_run_id(
        dag_id="shop", task_id="orders.run", try_number=2, logical_date=MOMENT, map_index=-1
    )
    assert end["run"]["facets"]["parent"]["run"]["runId"] == OpenLineageAdapter.build_dag_run_id(
        dag_id="shop", logical_date=MOMENT, clear_number=1
    )


def test_the_facet_of_airflow_is_of_this_try_and_has_no_secrets(told: Path, context: dict[str, Any]) -> None:
    """Setup makes it before the task has begun; what Airflow hides, the bucket does not see either."""
    made = event(context)
    openlineage.send(made)

    (end,) = sent(told)
    airflow = end["run"]["facets"]["airflow"]
    assert airflow["task"]["operator_class"] == "DbtRunAsyncOperator"
    assert airflow["taskInstance"]["try_number"] == 2
    assert airflow["taskUuid"] == end["run"]["runId"]
    assert "hunter2" not in json.dumps([made.run.airflow, made.task.airflow, end])


def test_tables_have_columns_origins_and_statistics(told: Path, context: dict[str, Any]) -> None:
    """A dataset is called as OpenLineage's specification calls tables of BigQuery."""
    read = Dataset(
        "p.raw.orders", (Column("id", "INTEGER"),), assertions=(Assertion("not_null", "id", True),)
    )
    record = Column("customer", "RECORD", None, (Column("name", "STRING", "Full name"),))
    made = Dataset(
        "p.shop.orders",
        (Column("id", "INTEGER"), record),
        "All orders",
        {"id": [("p.raw.orders", "id")]},
        3,
        64,
    )

    openlineage.send(event(context, tables=Tables((read,), (made,), "select 1", JOB)))

    (end,) = sent(told)
    (source,), (target,) = end["inputs"], end["outputs"]
    assert (source["namespace"], source["name"]) == ("bigquery", "p.raw.orders")
    (assertion,) = source["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["assertion"], assertion["column"], assertion["success"]) == ("not_null", "id", True)
    fields = target["facets"]["schema"]["fields"]
    assert [(one["name"], one["type"]) for one in fields] == [("id", "INTEGER"), ("customer", "RECORD")]
    assert fields[1]["fields"][0]["description"] == "Full name"
    (origin,) = target["facets"]["columnLineage"]["fields"]["id"]["inputFields"]
    assert (origin["namespace"], origin["name"], origin["field"]) == ("bigquery", "p.raw.orders", "id")
    statistics = target["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (3, 64)


def test_the_job_is_told_as_googles_provider_does(told: Path, context: dict[str, Any]) -> None:
    """The query is in the facet ``sql`` and not once more in the job's properties."""
    openlineage.send(event(context, tables=Tables(sql="select 1", job=JOB)))

    (end,) = sent(told)
    facets = end["run"]["facets"]
    assert facets["externalQuery"]["externalQueryId"] == "cosmos_orders_1"
    assert facets["bigQueryJob"]["billedBytes"] == 1024
    assert "select 1" not in facets["bigQueryJob"]["properties"]
    assert end["job"]["facets"]["sql"]["query"] == "select 1"


def test_a_failure_has_its_message(told: Path, context: dict[str, Any]) -> None:
    """In the words of the task's log."""
    openlineage.send(event(context, "FAIL", error="model.shop.orders: Unrecognized name: amout"))

    (end,) = sent(told)
    assert end["eventType"] == "FAIL"
    assert "amout" in end["run"]["facets"]["errorMessage"]["message"]


def test_an_operator_that_is_disabled_has_no_events(
    told: Path, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[openlineage] disabled_for_operators`` means ours, too."""
    name = f"{DbtRunAsyncOperator.__module__}.{DbtRunAsyncOperator.__qualname__}"
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS", name)

    assert openlineage.of_task(context, context["node"]) is None


def test_with_selective_enable_a_dag_has_to_ask_for_events(
    told: Path, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``enable_lineage(dag)`` or ``enable_lineage(task)``, as for any other task."""
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")
    assert openlineage.of_task(context, context["node"]) is None

    enable_lineage(context["node"])

    assert openlineage.of_task(context, context["node"]) is not None


@pytest.mark.parametrize(
    ("setting", "value", "active"),
    [
        ("TRANSPORT", '{"type": "console"}', True),
        ("TRANSPORT", "{}", False),
        ("DISABLED", "True", False),
    ],
)
def test_it_is_active_where_the_provider_is(
    told: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, active: bool
) -> None:
    """Without a transport, and where it is disabled, nothing is sent."""
    monkeypatch.setenv(f"AIRFLOW__OPENLINEAGE__{setting}", value)
    openlineage.is_active.cache_clear()

    assert openlineage.is_active() is active


@pytest.mark.parametrize(
    ("found", "supported"),
    [(None, False), ("2.2.0", False), ("2.3.0", True), ("2.20.3", True), ("3.0.0", True)],
)
def test_an_old_provider_is_left_to_its_listener(
    monkeypatch: pytest.MonkeyPatch, found: str | None, supported: bool
) -> None:
    """Its functions have other names."""
    monkeypatch.setattr(openlineage, "installed_version", lambda: found)

    assert openlineage.is_supported() is supported


@pytest.mark.parametrize(
    ("sql", "sources"),
    [
        ("select id, amount * 2 as twice from `p`.`raw`.`orders`", {"id": ["id"], "twice": ["amount"]}),
        ("with o as (select id as n from `p`.`raw`.`orders`) select n from o", {"n": ["id"]}),
        ("select * from `p`.`raw`.`orders`", {}),
        ("this is no sql", {}),
    ],
)
def test_columns_are_followed_as_far_as_the_parser_understands(
    sql: str, sources: dict[str, list[str]]
) -> None:
    """OpenLineage's own parser, by which dbt-ol and Google's provider find them as well."""
    found = openlineage.column_sources(sql)

    assert found == {
        name: [("p.raw.orders", column) for column in columns] for name, columns in sources.items()
    }


def test_a_mapped_instance_says_which_it_is(told: Path, context: dict[str, Any]) -> None:
    """Each is a run of its own."""
    one, other = (replace(event(context), map_index=index) for index in (0, 1))

    openlineage.send(one)
    openlineage.send(other)

    first, second = sent(told)
    assert first["run"]["runId"] != second["run"]["runId"]
    assert second["run"]["facets"]["airflow"]["taskInstance"]["map_index"] == 1
