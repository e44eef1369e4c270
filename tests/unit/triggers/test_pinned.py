"""What is executed is what setup wrote: no other SQL, no other data, no other file, and nothing is rendered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.airflow.compat import DAG
from cosmos_async.exceptions import PlanDamaged, StoreError
from cosmos_async.operators import DbtRunAsyncOperator
from cosmos_async.plan.model import NodePlan, dump_node
from cosmos_async.plan.store import (
    above,
    artifact_object,
    artifacts_folder,
    index_object,
    late_plan_object,
    nodes_object,
    outcome_object,
    run_folder,
    upload_object,
)
from cosmos_async.triggers.storage.documents import read_upload
from cosmos_async.triggers.storage.folders import GcsFolder, LocalFolder
from tests.unit.triggers.bench import SETUP, Bench, event_of, job, model
from tests.unit.triggers.ends import is_success

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

EVIL = "create or replace table `p`.`shop`.`stolen` as select * from salaries"


def overwrite(bench: Bench, name: str, change: Any) -> None:
    """Write to the run's folder as somebody else with access to the bucket could."""
    objects = bench.google.objects.find("plans").objects
    (key,) = [key for key in objects if name in key]
    objects[key] = replace(objects[key], content=change(objects[key].content))


def evil_twin(content: bytes) -> bytes:
    """Return the same node's plan with other SQL."""
    return dump_node(model("orders", job(EVIL)))


SWAPS: dict[str, tuple[str, Any]] = {
    "a node's plan with other SQL": ("plan/nodes-", evil_twin),
    "a node's plan with one byte changed": (
        "plan/nodes-",
        lambda data: data.replace(b"select 1", b"select 2"),
    ),
    "half of a node's plan": ("plan/nodes-", lambda data: data[: len(data) // 2]),
    "nothing of a node's plan": ("plan/nodes-", lambda data: b""),
    "a node's plan after another's": ("plan/nodes-", lambda data: evil_twin(data) + b"\n" + data),
    "an index with another digest": (
        "plan/index",
        lambda data: data.replace(
            b'"digest":"', b'"digest":"' + hashlib.sha256(evil_twin(b"")).hexdigest().encode()[:4]
        ),
    ),
    "an index with another endpoint": ("plan/index", lambda data: data.replace(b'"run1"', b'"run2"')),
    "half of the index": ("plan/index", lambda data: data[:-30]),
}


@pytest.mark.parametrize("swap", SWAPS)
async def test_a_plan_that_somebody_else_wrote_is_not_executed(bench: Bench, swap: str) -> None:
    """The task fails, says which object it is and what to do; nothing reaches BigQuery."""
    await bench.plan(model("orders", job("create or replace table `p`.`shop`.`orders` as select 1 as id")))
    overwrite(bench, *SWAPS[swap])

    event = await bench.run(fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    message = event.payload["message"]
    assert "is not what the setup task wrote: its SHA-256 is" in message
    assert "gs://plans/shop/dag/run1/life/plan/" in message
    assert "Clear the setup task to write the plan anew." in message
    assert bench.google.inserted_jobs == []


@pytest.mark.parametrize("data", [b"id\n666\n", b"", b"id\n1\n2"])
async def test_data_that_somebody_else_wrote_is_not_loaded(bench: Bench, data: bytes) -> None:
    """A seed's bytes are part of the plan."""
    good = b"id\n1\n2\n"
    digest = hashlib.sha256(good).hexdigest()
    table = {"projectId": "p", "datasetId": "shop", "tableId": "raw"}
    load = {"load": {"destinationTable": table, "sourceFormat": "CSV"}}
    step = job("", purpose="load", configuration=load, upload=upload_object(digest), upload_digest=digest)
    await bench.plan(model("raw", step, unique_id="seed.shop.raw", resource_type="seed"))
    bucket = bench.google.objects.find("plans")
    bench.google.objects.write(bucket, f"shop/dag/run1/life/{upload_object(digest)}", data, {}, {})

    event = await bench.run("seed.shop.raw", fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    assert (
        f"the data to load (gs://plans/shop/dag/run1/life/plan/uploads/{digest}) is not what"
        in bench.log.text
    )
    assert bench.google.inserted_jobs == []


async def test_data_without_a_digest_is_not_loaded(tmp_path: Path) -> None:
    """A plan always says what it loads; one that does not was not written by setup."""
    with pytest.raises(PlanDamaged, match="does not say what the data to load"):
        await read_upload(LocalFolder(str(tmp_path)), "plan/uploads/x", None)


async def test_another_node_s_plan_is_no_substitute(bench: Bench) -> None:
    """Plans of the same length cannot be exchanged for one another either."""
    await bench.plan(model("orders"), model("others"))
    overwrite(bench, "plan/nodes-", lambda data: b"\n".join([*reversed(data.splitlines()), b""]))

    event = await bench.run(fails_in_triggerer=False)

    assert "the plan of model.shop.orders" in event.payload["message"]
    assert "is not what the setup task wrote" in event.payload["message"]


# -- names ------------------------------------------------------------------------------------------------------------

#: What somebody could try as a DAG's, a run's or a node's id.
nasty = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="./\\~%:\x00 aé\u202e", max_size=30),
    st.sampled_from(
        ["..", "../..", "/", "/etc/passwd", "a/../../b", "gs://other/x", "~artifacts", "C:\\x", ".", ""]
    ),
)


def folder_names(unique_id: str, dag_id: str, group_id: str, run_id: str) -> tuple[str, list[str]]:
    """Return a run's folder below ``/base``, and the names of all kinds of objects in it."""
    names = [
        index_object("0" * 64),
        nodes_object("0" * 64),
        late_plan_object(unique_id, "0" * 64),
        upload_object("0" * 64),
        outcome_object(unique_id),
        artifact_object(unique_id),
    ]
    return run_folder("/base", dag_id=dag_id, group_id=group_id, run_id=run_id, life="life"), names


@given(unique_id=nasty, dag_id=nasty, group_id=nasty, run_id=nasty)
def test_no_name_leads_out_of_the_run_s_folder(
    unique_id: str, dag_id: str, group_id: str, run_id: str
) -> None:
    """Every object lies below its run's folder, that below its DAG's, in a bucket and on a disk."""
    folder, names = folder_names(unique_id, dag_id, group_id, run_id)
    artifacts = artifacts_folder(folder)

    assert folder.count("/") == 5
    assert artifacts.count("/") == 5
    for name in names:
        path = Path(folder, name)
        assert Path(folder) in Path(*path.parts).parents
        assert ".." not in path.parts
        assert path.as_posix() == f"{folder}/{name}"
        assert "\x00" not in name
        assert all(len(part.encode()) <= 255 for part in path.parts)


runs = st.tuples(nasty, nasty, nasty, st.integers(-1, 12), st.sampled_from(["a1", "b2"]))


@given(one=runs, two=runs)
def test_no_run_reaches_into_another_s_folder(one: Any, two: Any) -> None:
    """Neither as the same folder nor as one within the other; its teardown would delete it."""
    first, second = (
        run_folder("/base", dag_id=dag, group_id=group or "dag", run_id=run, map_index=index, life=life)
        for dag, group, run, index, life in (one, two)
    )
    normal = [(dag, group or "dag", *rest) for dag, group, *rest in (one, two)]

    assert (first == second) == (normal[0] == normal[1])
    assert not first.startswith(second + "/")
    assert not artifacts_folder(first).startswith(second + "/")
    # All lives of one instance of a run share this, and nobody else does.
    assert (above(first) == above(second)) == (normal[0][:4] == normal[1][:4])
    assert (artifacts_folder(first) == artifacts_folder(second)) == (normal[0][:4] == normal[1][:4])


def test_nobody_can_choose_the_name_that_was_computed_for_another() -> None:
    """The folder of DAG "a/b" is not to be had by a DAG that is called like it."""
    computed = run_folder("/base", dag_id="a/b", group_id="g", run_id="r", life="life").split("/")[2]

    assert (
        run_folder("/base", dag_id=computed, group_id="g", run_id="r", life="life").split("/")[2] != computed
    )


@given(name=nasty)
def test_a_folder_refuses_names_that_lead_out_of_it(name: str) -> None:
    """A second wall behind the first."""
    with TemporaryDirectory() as base:
        inside = Path(base, "run")
        inside.mkdir()
        with contextlib.suppress(StoreError, ValueError):  # ValueError: a NUL in a path
            LocalFolder(str(inside))._write(name, b"x")
        found = [path for path in Path(base).rglob("*") if path.is_file()]
        assert all(inside in path.parents for path in found)


@pytest.mark.parametrize("name", ["../other/x", "/x", "a/../../x", "..", "./x"])
async def test_both_kinds_of_folders_refuse_a_way_out(bench: Bench, tmp_path: Path, name: str) -> None:
    """Reading, too: a plan's upload is named by the plan."""
    from cosmos_async.triggers.google.session import shared_session

    async with shared_session(bench.identity) as session:
        for folder in (
            LocalFolder(str(tmp_path)),
            GcsFolder(session, "gs://plans/run", bench.google.storage_endpoint),
        ):
            with pytest.raises(StoreError, match="no name of an object"):
                await folder.read(name)
            with pytest.raises(StoreError, match="no name of an object"):
                await folder.write(name, b"")


# -- nothing is rendered ----------------------------------------------------------------------------------------------

#: Jinja that dbt left in the SQL on purpose, such as in a string, and what Airflow would look up as a file.
JINJA = (
    "create or replace table `p`.`shop`.`orders` as select '{{ dag.dag_id }}' as a, '{% raw %}' as b, "
    "'{{ var.value.password }}' as c, '{# x #}' as d, 'orders.sql' as e, '{{ 1/0 }}' as f"
)


def templated() -> NodePlan:
    """Return a plan with Jinja everywhere a user's text gets to."""
    return model("orders", job(JINJA), compiled_code=JINJA)


def operator() -> DbtRunAsyncOperator:
    """Return the model's task."""
    with DAG("shop_dag", schedule=None, start_date=datetime(2026, 1, 1)):
        return DbtRunAsyncOperator(
            task_id="orders", unique_id="model.shop.orders", setup_task_id=SETUP, identity={"conn_id": "gcp"}
        )


@pytest.mark.skipif(
    not hasattr(BaseTrigger, "render_template_fields"),
    reason="before 3.3 Airflow renders nothing in a trigger",
)
async def test_sql_is_sent_as_it_stands_when_airflow_starts_the_trigger(bench: Bench) -> None:
    """Airflow 3.3 renders a trigger's templates itself; ours has none."""
    task = await asyncio.to_thread(operator)
    await bench.plan(templated())
    trigger = bench.trigger()
    instance = vars(trigger.task_instance)
    trigger.task_instance = SimpleNamespace(**instance, task=task)  # type: ignore[assignment]
    before = json.dumps(trigger.serialize())
    trigger.render_template_fields({"dag": SimpleNamespace(dag_id="rendered")})  # type: ignore[arg-type]

    event = await event_of(trigger)

    assert task.start_from_trigger
    assert json.dumps(trigger.serialize()) == before
    assert is_success(event), bench.log.text
    assert [made.spec.sql for made in bench.google.inserted_jobs] == [JINJA]


async def test_sql_is_sent_as_it_stands_when_a_worker_defers(bench: Bench) -> None:
    """The other entry: execute() and its deferral."""
    task = await asyncio.to_thread(operator)  # as no triggerer makes one: Airflow 3.0 imports for it, lazily
    context = {"ti": bench.trigger().task_instance}
    with pytest.raises(TaskDeferred) as deferred:
        # Without what Airflow wraps it in, which in 2.10 and 2.11 knows the main thread alone.
        await asyncio.to_thread(inspect.unwrap(type(task).execute), task, context)
    await bench.plan(templated())
    trigger: Any = deferred.value.trigger
    trigger.identity, trigger.airflow, trigger._log = bench.identity, bench.airflow, bench.log
    trigger.task_instance = bench.trigger().task_instance

    event = await event_of(trigger)

    assert is_success(event), bench.log.text
    assert [made.spec.sql for made in bench.google.inserted_jobs] == [JINJA]


def test_an_operator_s_arguments_are_not_rendered_either() -> None:
    """Ids are dbt's; a template in one would be a way to another node's plan. What is rendered is ours, and for the UI alone."""
    task = operator()

    assert set(task.template_fields) <= {"compiled_sql"}
    assert "compiled_sql" not in task.trigger_kwargs()
    assert task.template_ext == ()
