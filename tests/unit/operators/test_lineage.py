"""Lineage as setup knows it, and as a worker tells it that ends a task."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow import openlineage
from cosmos_async.airflow.compat import DAG
from cosmos_async.operators import lineage, task_lineage
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.operators.run_plan import COMPILED_FILE
from cosmos_async.plan.lineage import (
    LINEAGE_FILE,
    NO_TABLES,
    Lineage,
    NodeLineage,
    RunLineage,
    Tables,
    TaskLineage,
    dump_lineage,
    load_lineage,
)
from cosmos_async.plan.model import Index, IndexEntry, Level, RunInfo, dump_index
from cosmos_async.plan.outcome import Outcome, Status, dump_outcome
from cosmos_async.plan.store import artifact_object, outcome_object
from cosmos_async.triggers.storage.documents import upload_plan

SETUP = "dbt_setup_async"
AT = "2026-01-01T00:00:00+00:00"
MANIFEST = {
    "sources": {
        "source.shop.till.orders": {
            "resource_type": "source",
            "relation_name": "`p`.`till`.`orders`",
            "description": "",
            "columns": {"id": {"data_type": "int64", "description": "the id"}},
        }
    },
    "nodes": {
        "model.shop.orders": {
            "resource_type": "model",
            "relation_name": "`p`.`shop`.`orders`",
            "description": "All orders",
            "depends_on": {"macros": ["macro.dbt.x"], "nodes": ["source.shop.till.orders"]},
        },
        "test.shop.unique": {
            "resource_type": "test",
            "relation_name": "`p`.`failures`.`unique`",
            "name": "unique_orders_id",
            "test_metadata": {
                "name": "unique",
                "kwargs": {"column_name": "id", "model": "{{ ref('orders') }}"},
            },
            "depends_on": {"nodes": ["model.shop.orders"]},
        },
        "test.shop.own": {
            "resource_type": "test",
            "relation_name": None,
            "name": "own",
            "depends_on": {"nodes": ["model.shop.orders"]},
        },
    },
}
RUN = RunLineage(AT, {}, (None, None), (), {})


def test_dbts_manifest_tells_what_reads_what() -> None:
    """Relations without quotes, parents without macros, and of a test what it tests rather than where it keeps failures."""
    nodes = lineage.nodes_of(MANIFEST)

    assert nodes == {
        "source.shop.till.orders": NodeLineage((), "p.till.orders", None, {"id": ("int64", "the id")}),
        "model.shop.orders": NodeLineage(("source.shop.till.orders",), "p.shop.orders", "All orders"),
        "test.shop.unique": NodeLineage(("model.shop.orders",), test=("unique", "id")),
        "test.shop.own": NodeLineage(("model.shop.orders",), test=("own", None)),
    }


@pytest.fixture
def setup() -> Any:
    """The setup task of a DAG with two nodes, and one of another run."""
    with DAG("shop") as dag:
        for task_id, setup_task_id in (("orders.run", SETUP), ("secret.run", SETUP), ("other.run", "other")):
            DbtNodeAsyncOperator(
                task_id=task_id, unique_id="model.shop.orders", setup_task_id=setup_task_id, identity={}
            )
    return SimpleNamespace(dag=dag, task_id=SETUP, log=logging.getLogger("setup"))


def test_setup_writes_what_it_knows_of_its_tasks(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a task that the provider's settings leave out it says just that."""
    about = {"owners": ("ann",), "description": None, "description_type": None, "airflow": {}}
    monkeypatch.setattr(openlineage, "is_active", lambda: True)
    monkeypatch.setattr(
        openlineage,
        "of_run",
        lambda context: {"moment": AT, "parent": {}, "nominal": (None, None), "tags": (), "airflow": {}},
    )
    monkeypatch.setattr(
        openlineage, "of_task", lambda context, task: None if task.task_id == "secret.run" else about
    )
    objects = {artifact_object("manifest.json"): json.dumps(MANIFEST).encode()}

    ((name, data),) = lineage.lineage_objects(setup, {}, objects).items()

    assert name == artifact_object(LINEAGE_FILE)
    found = load_lineage(data)
    assert found.run == RUN
    assert found.tasks == {"orders.run": TaskLineage(("ann",), None, None, {}), "secret.run": None}
    assert found.nodes["model.shop.orders"].relation == "p.shop.orders"


def test_setup_writes_nothing_where_nothing_is_sent(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in most places."""
    monkeypatch.setattr(openlineage, "is_active", lambda: False)

    assert lineage.lineage_objects(setup, {}, {}) == {}


def test_setup_does_not_fail_for_a_provider_that_it_does_not_understand(
    setup: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The tasks end on workers then, and the log says why."""

    def of_run(context: Any) -> Any:
        raise AttributeError("build_dag_run_id")

    monkeypatch.setattr(openlineage, "is_active", lambda: True)
    monkeypatch.setattr(openlineage, "of_run", of_run)

    assert lineage.lineage_objects(setup, {}, {}) == {}
    assert "the tasks of this run end on workers" in caplog.text
    assert "AIRFLOW__OPENLINEAGE__DISABLED" in caplog.text


def ended(unique_id: str, compiled_code: str | None = None) -> Outcome:
    """Return how a node ended."""
    return Outcome(unique_id, Status.SUCCESS, None, Level.DBT, AT, AT, 1, compiled_code=compiled_code)


@pytest.mark.parametrize("known", [True, False])
def test_a_worker_tells_of_the_nodes_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """From their outcomes in the store, with the SQL that setup has compiled; nothing where setup knew nothing."""
    entry = IndexEntry("n", "model", Level.DBT, "", "0" * 64)
    index = Index(
        RunInfo("d", "r", AT, "h", "shop", "dev", "i", "1.11", "1.11", "0.1"),
        {"model.shop.orders": entry, "model.shop.other": entry},
    )
    objects = {artifact_object(COMPILED_FILE): json.dumps({"model.shop.orders": "select 1"}).encode()}
    for unique_id in index.nodes:
        objects[outcome_object(unique_id)] = dump_outcome(ended(unique_id))
    if known:
        document = Lineage(RUN, {"t": TaskLineage((), None, None, {})}, {})
        objects[artifact_object(LINEAGE_FILE)] = dump_lineage(document)
    address = asyncio.run(
        upload_plan(str(tmp_path / "r" / "life"), objects=objects, index=dump_index(index), identity={})
    )
    asked: list[Any] = []

    async def tables(identity: Any, lineage: Lineage, index: Index, outcomes: list[Outcome]) -> Tables:
        asked.append(outcomes)
        return Tables(sql="select 1")

    monkeypatch.setattr(task_lineage, "_tables", tables)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    ti.xcom_pull = lambda task_ids, key, map_indexes: address.to_json()
    ti.get_template_context = lambda: {"ti": ti}
    with DAG("d"):
        task = DbtNodeAsyncOperator(
            task_id="t", unique_id="model.shop.orders", setup_task_id=SETUP, identity={}
        )

    found = task_lineage.tables_of_task(task, ti)

    if known:
        assert found.sql == "select 1"
        assert asked == [[ended("model.shop.orders", "select 1")]]
    else:
        assert (found, asked) == (NO_TABLES, [])
