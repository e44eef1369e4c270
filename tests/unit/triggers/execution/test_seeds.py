"""Seeds that are loaded when they have changed: never passed by where ``dbt build`` would leave something else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from cosmos_async.plan.model import CallOperation, Level, NativeKind, NativeOperation, NodePlan
from cosmos_async.plan.outcome import Outcome, Status, load_outcome
from cosmos_async.plan.seeds import content_of, state_of
from cosmos_async.plan.store import upload_object
from cosmos_async.testing import Request
from cosmos_async.triggers.execution.task_nodes import Result
from tests.unit.triggers.bench import RUN, Bench, job, model, target_state
from tests.unit.triggers.ends import is_success

ROWS = b"id,price\n1,2\n"
PATH = "projects/p/datasets/shop/tables/prices"
KEPT = "shop/dag/~seeds"


def seed(
    data: bytes = ROWS, *more: Any, name: str = "prices", before: str = "TABLE", **changes: Any
) -> NodePlan:
    """Return a seed's plan; *more* comes behind the load, *before* is what was there."""
    digest = hashlib.sha256(data).hexdigest()
    configuration = {
        "load": {
            "destinationTable": {"projectId": "p", "datasetId": "shop", "tableId": name},
            "schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "price", "type": "INTEGER"}]},
            "skipLeadingRows": 1,
        },
        "labels": {"dbt_invocation_id": changes.pop("invocation", "i")},
    }
    upload = {"upload": upload_object(digest), "upload_digest": digest}
    load = job("", purpose="load", main=False, configuration=configuration, **upload)
    drop = CallOperation("drop", "DELETE", PATH.replace("prices", name), None, missing_ok=True)
    steps = [target_state(name, before), *([] if before == "absent" else [drop]), load, *more]
    defaults: dict[str, Any] = {
        "unique_id": "seed.shop.prices",
        "resource_type": "seed",
        "compiled_code": None,
        "message": "INSERT 1",
        "response": {"code": "INSERT"},
    }
    return model(name, *steps, **{**defaults, **changes})


async def run(bench: Bench, data: bytes = ROWS, *, name: str = "prices", **info: Any) -> str:
    """Plan the seed for what is there, let a run of its own carry it out, and return the seed's status."""
    number = sum(path.endswith("/README.txt") for path in bench.google.stored("plans"))
    life = f"{RUN}/life{number}"  # of one DAG run, as the stand-in for Airflow knows no other
    there = bench.google.catalog.table("p", "shop", name)
    plan = seed(data, name=name, before="absent" if there is None else there["type"], invocation=f"i{number}")
    await bench.plan(plan, folder=f"gs://plans/{life}", **{"nonce": life, "seeds_when_changed": True, **info})
    upload = upload_object(hashlib.sha256(data).hexdigest())
    for path, content in ((f"{life}/README.txt", b""), (f"{life}/{upload}", data)):
        bench.google.objects.write(bench.google.objects.find("plans"), path, content, {}, {})
    jobs = len(bench.google.inserted_jobs)
    event = await bench.run("seed.shop.prices")
    assert is_success(event), bench.log.text
    outcome = load_outcome(bench.google.stored("plans")[f"{life}/outcomes/seed.shop.prices.json"])
    assert (len(bench.google.inserted_jobs) > jobs) == (outcome.status is Status.SUCCESS)
    return outcome.status.value


def records(bench: Bench) -> list[str]:
    """Return the names of what is kept of seeds."""
    return [name for name in bench.google.stored("plans") if name.startswith(KEPT)]


async def test_an_unchanged_seed_is_loaded_once(bench: Bench) -> None:
    """Its task succeeds, as in Cosmos, so that what reads it goes on."""
    assert [await run(bench) for _ in range(3)] == ["success", "no-op", "no-op"]
    assert "NO-OP seed file shop.prices" in bench.log.text
    assert "[unchanged since it was loaded in" in bench.log.text


async def test_another_file_is_loaded(bench: Bench) -> None:
    """And is then what the next run compares with."""
    changed = b"id,price\n1,3\n"

    assert await run(bench) == "success"
    assert [await run(bench, changed) for _ in range(2)] == ["success", "no-op"]
    assert await run(bench) == "success"


@pytest.mark.parametrize(
    "more",
    [
        NativeOperation(NativeKind.UPDATE_COLUMNS, {}, {"columns": {"id": {"description": "d"}}}),
        CallOperation("describe", "PATCH", PATH, {"description": "of prices"}),
        job("grant select", purpose="grant", main=False),
        job("alter table", purpose="alter table", main=False),
    ],
    ids=["columns", "description", "grants", "options"],
)
def test_configuration_counts_as_the_file_does(more: Any) -> None:
    """Whatever dbt would write beside the rows."""
    assert content_of(seed(ROWS, more)) not in (None, content_of(seed()))


@pytest.mark.parametrize("touch", ["rows", "properties", "gone", "a view", "made anew"])
async def test_a_touched_table_is_loaded_again(bench: Bench, touch: str) -> None:
    """Whoever has changed it, ``dbt build`` would have replaced it."""
    assert await run(bench) == "success"
    catalog = bench.google.catalog
    if touch == "rows":
        bench.google.add_table("p", "shop", "prices", rows=[{"id": 1}])
    elif touch == "properties":
        await catalog.patch_table("p", "shop", "prices", {"description": "by hand"}, replace=False)
    else:
        catalog.remove_table("p", "shop", "prices")
    if touch in ("a view", "made anew"):
        bench.google.add_table("p", "shop", "prices", type="VIEW" if touch == "a view" else "TABLE")

    assert await run(bench) == "success"


async def test_full_refresh_loads_every_seed(bench: Bench) -> None:
    """As in Cosmos; and a DAG without the behavior loads all that it always loaded."""
    assert await run(bench) == "success"

    assert await run(bench, full_refresh=True) == "success"
    assert await run(bench, seeds_when_changed=False) == "success"
    assert [await run(bench) for _ in range(2)] == ["success", "no-op"]


async def test_another_target_has_a_record_of_its_own(bench: Bench) -> None:
    """Instances of a mapped group, each with a table of its own, do not make each other load."""
    statuses = [await run(bench, name=name) for name in ("prices", "other", "prices")]

    assert statuses == ["success", "success", "no-op"]
    assert len(records(bench)) == 2


async def test_a_record_that_is_none_is_as_good_as_none(bench: Bench) -> None:
    """It only ever saves a load."""
    assert await run(bench) == "success"
    bench.google.objects.write(bench.google.objects.find("plans"), records(bench)[0], b"[1", {}, {})

    assert [await run(bench) for _ in range(2)] == ["success", "no-op"]


async def test_a_seed_whose_record_cannot_be_kept_is_loaded_all_the_same(bench: Bench) -> None:
    """The next run loads it once more."""

    def is_record(request: Request) -> bool:
        return "~seeds" in f"{request.path} {request.query}"

    bench.google.fail("objects.insert", 403, times=None, when=is_record)

    assert await run(bench) == "success"
    assert "the next run loads it again" in bench.log.text
    assert await run(bench) == "success"


@pytest.mark.parametrize(
    "plan",
    [
        seed(level=Level.LATE),
        seed(level=Level.DBT),
        seed(ROWS, job("insert into audit select 1", purpose="post-hook", main=False)),
        seed(ROWS, job("create table x", purpose="create table", main=False)),
        seed(ROWS, CallOperation("drop", "DELETE", PATH.replace("prices", "other"), None)),
        seed(ROWS, NativeOperation(NativeKind.GRANT_ACCESS, {"project": "p", "dataset": "d"}, {"entry": {}})),
        seed(resource_type="model"),
        replace(seed(), steps=(target_state("prices"),)),
    ],
    ids=["late", "real dbt", "a hook", "another statement", "another table", "access", "a model", "no load"],
)
def test_what_does_more_than_load_a_seed_is_carried_out_in_each_run(plan: NodePlan) -> None:
    """A hook may do anything; nobody can tell whether it would change something."""
    assert content_of(seed()) is not None
    assert content_of(plan) is None


def test_a_first_and_a_second_run_load_the_same() -> None:
    """The second one drops the table that the first one has made."""
    assert content_of(seed(before="absent")) == content_of(seed()) is not None


@pytest.mark.parametrize(
    "resource",
    [
        None,
        {"type": "VIEW", "creationTime": "1", "lastModifiedTime": "1"},
        {
            "type": "TABLE",
            "creationTime": "1",
            "lastModifiedTime": "1",
            "streamingBuffer": {"estimatedRows": "1"},
        },
        {"type": "TABLE", "creationTime": "1"},
    ],
    ids=["none", "a view", "rows on their way", "no time"],
)
def test_a_table_that_may_have_changed_has_no_state(resource: Any) -> None:
    """So the seed is loaded."""
    assert state_of(resource) is None
    assert state_of({"type": "TABLE", "creationTime": "1", "lastModifiedTime": "1"}) is not None


def test_a_table_that_expires_is_loaded_anew() -> None:
    """Loading it puts its end off, as in dbt."""
    times = {"creationTime": "1", "lastModifiedTime": "1", "expirationTime": "2"}

    assert state_of({"type": "TABLE", **times}) is None


def test_the_last_line_of_a_task_counts_what_was_passed_by() -> None:
    """As dbt's does since 1.10; where there is none, the line is as before."""
    at = "2026-01-01T00:00:00+00:00"

    def summary(status: Status) -> str:
        return Result(earlier=[Outcome("seed.shop.prices", status, None, Level.STATIC, at, at, 1)]).summary()

    assert summary(Status.NO_OP) == "Done. PASS=0 WARN=0 ERROR=0 SKIP=0 NO-OP=1 DBT=0 TOTAL=1"
    assert summary(Status.SUCCESS) == "Done. PASS=1 WARN=0 ERROR=0 SKIP=0 DBT=0 TOTAL=1"
