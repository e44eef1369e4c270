"""A job is adopted, or ended, only by the planned run that submitted it: runs made again, other Airflows, plans made anew."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmos_async.exceptions import JobTaken
from cosmos_async.plan.model import CallOperation, NodePlan
from cosmos_async.plan.store import life_of, new_nonce, run_folder
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers import address
from cosmos_async.triggers.google import session
from cosmos_async.triggers.jobs.same_job import difference, require_same
from cosmos_async.triggers.teardown import TeardownTrigger
from tests.unit.triggers.bench import (
    RUN,
    SETUP,
    Bench,
    FakeAirflow,
    FakeClock,
    cancelled,
    event_of,
    job,
    model,
    target_state,
)
from tests.unit.triggers.ends import is_failure, is_success

ANOTHER_LIFE = f"gs://plans/{RUN}/another"


def orders(sql: str, **changes: Any) -> NodePlan:
    """Return a model whose job has this text."""
    return model("orders", job(f"create or replace table `p`.`shop`.`orders` as select {sql}", **changes))


def sent(bench: Bench) -> list[str]:
    """Return the SQL of all jobs."""
    return [made.spec.sql for made in bench.google.inserted_jobs]


# -- another planned run ----------------------------------------------------------------------------------------------


async def test_a_run_that_was_deleted_and_made_again_runs(bench: Bench) -> None:
    """Under the same run id, with other vars: BigQuery keeps the first one's job for months, and nobody adopts it."""
    await bench.plan(orders("1 as day"))
    await bench.run()
    await bench.plan(orders("2 as day"), folder=ANOTHER_LIFE, nonce="another")

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert [sql.rpartition("select ")[2] for sql in sent(bench)] == ["1 as day", "2 as day"]
    assert "attached" not in bench.log.text


async def test_the_same_run_made_again_runs_once_more(bench: Bench) -> None:
    """Nothing has changed but what lies outside of dbt, such as the rows of a source; that is what one wants then."""
    await bench.plan(orders("* from source"))
    await bench.run()
    await bench.plan(orders("* from source"), folder=ANOTHER_LIFE, nonce="another")

    await bench.run()

    assert len(sent(bench)) == 2


async def test_a_run_made_again_is_not_carried_out_by_its_predecessor_s_plan(bench: Bench) -> None:
    """It was deleted before its teardown, so its folder is still there, and this triggerer knows it."""
    await bench.plan(orders("1 as day"))
    await bench.run()
    await bench.plan(orders("2 as day"), folder=ANOTHER_LIFE, nonce="another")
    assert [name for name in bench.google.stored("plans") if "/life/plan/" in name]

    await bench.run()

    assert sent(bench)[-1].endswith("2 as day")


async def test_a_new_try_leaves_the_jobs_of_another_airflow_alone(bench: Bench) -> None:
    """Staging's second try is no reason to end what production's first one runs in the same billing project."""
    held = bench.google.on_query("production", held=True)
    await bench.plan(orders("'production' as place"))
    production = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await bench.plan(orders("'staging' as place"), folder=ANOTHER_LIFE, nonce="another")

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    assert bench.google.requests.of("jobs.cancel") == []
    await cancelled(production)


async def test_a_new_try_ends_what_earlier_tries_of_its_own_run_left(bench: Bench) -> None:
    """Its setup was cleared along and has planned anew, with another invocation of dbt: the run is the same."""
    held = bench.google.on_query("1 as first", held=True)
    await bench.plan(orders("1 as first"), invocation_id="one")
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    bench.airflow.silent = True
    await cancelled(first)
    bench.airflow.silent = False
    await bench.plan(orders("2 as second"), invocation_id="two")

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    assert [made.error is None for made in bench.google.inserted_jobs] == [False, True]


async def test_a_new_try_ends_what_a_plan_with_more_steps_left(bench: Bench) -> None:
    """The table was not there when the first plan was made, and is when the second one is: their steps differ."""
    held = bench.google.on_query("into log", held=True)
    table = "create or replace table `p`.`shop`.`orders` as select 1 as id"
    await bench.plan(model("orders", job("select 1", main=False), job(table), job("insert into log")))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    bench.airflow.silent = True
    await cancelled(first)
    bench.airflow.silent = False
    await bench.plan(model("orders", target_state("orders", "TABLE"), job(table)))

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    left = next(made for made in bench.google.inserted_jobs if "into log" in made.spec.sql)
    assert (left.state.value, left.error.reason if left.error else None) == ("DONE", "stopped")


async def test_jobs_that_the_run_needs_once_are_each_run_s_own(bench: Bench) -> None:
    """A dataset may have been dropped since, and a hook is to run once in each run."""
    hook = (job("select 'on-run-start'", purpose="on-run-start"),)
    await bench.plan(orders("1"), prelude=hook)
    await bench.run()
    await bench.plan(orders("1"), prelude=hook, folder=ANOTHER_LIFE, nonce="another")

    await bench.run()

    assert sum("on-run-start" in sql for sql in sent(bench)) == 2


# -- a plan made anew -------------------------------------------------------------------------------------------------


async def test_a_job_of_an_earlier_plan_is_not_adopted(bench: Bench) -> None:
    """Another task was cleared, so the run is planned anew; then this task's triggerer is lost while its job runs."""
    held = bench.google.on_query("1 as id", held=True)
    await bench.plan(orders("1 as id"))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    bench.airflow.silent = True
    await cancelled(first)
    bench.airflow.silent = False
    await bench.plan(orders("2 as id"))

    event = await bench.run()

    assert is_failure(event)
    (only,) = bench.google.inserted_jobs
    assert f"model.shop.orders: BigQuery has a job p:US.{only.job_id} already" in bench.log.text
    assert "its SQL is another" in bench.log.text
    assert "Clear this task" in bench.log.text
    assert "attached" not in bench.log.text
    # A new try ends it and goes on; this one has no business with it.
    assert bench.google.requests.of("jobs.cancel") == []
    assert is_success(await bench.run(try_number=2)), bench.log.text
    assert [made.error is None for made in bench.google.inserted_jobs] == [False, True]


async def test_a_job_that_an_earlier_plan_has_all_the_same_is_adopted(bench: Bench) -> None:
    """The run was planned anew and comes to the same; only the label with dbt's invocation differs."""

    def labelled(invocation: str) -> dict[str, Any]:
        query = {"query": "create or replace table `p`.`shop`.`orders` as select 1", "useLegacySql": False}
        return {"query": query, "labels": {"dbt_invocation_id": invocation, "team": "sales"}}

    await bench.plan(orders("", configuration=labelled("one")), invocation_id="one")
    await bench.run()
    await bench.plan(orders("", configuration=labelled("two")), invocation_id="two")

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(sent(bench)) == 1
    assert "attached" in bench.log.text


async def test_what_an_earlier_plan_wrote_does_not_stand_for_this_one_s_writes(bench: Bench) -> None:
    """A later job that is there means "this has happened already" only if it is the same job."""
    drop = CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True)
    await bench.plan(model("orders", drop, job("create table `p`.`shop`.`orders` as select 1")))
    await bench.run()
    await bench.plan(
        model("orders", target_state("orders"), job("create table `p`.`shop`.`orders` as select 2"))
    )

    event = await bench.run()

    assert is_failure(event)
    assert "its SQL is another" in bench.log.text
    assert len(sent(bench)) == 1


# -- the place for plans ----------------------------------------------------------------------------------------------


async def tear_down(bench: Bench) -> Any:
    """Run the run's teardown."""
    trigger = TeardownTrigger(setup_task_id=SETUP, identity=bench.identity)
    trigger.task_instance = bench.trigger().task_instance
    trigger.airflow = bench.airflow  # type: ignore[assignment]
    trigger._log = bench.log  # type: ignore[assignment]
    return await event_of(trigger)  # type: ignore[arg-type]


async def test_a_teardown_leaves_the_plans_of_another_airflow_alone(bench: Bench) -> None:
    """Two Airflows keep their plans in one place by mistake; none takes away what the other one needs or tells."""
    first = await bench.plan(orders("1"))
    await bench.run()
    second = await bench.plan(orders("2"), folder=ANOTHER_LIFE, nonce="another")
    before = {name for name in bench.google.stored("plans") if "/another/" in name}
    bench.airflow.xcoms[SETUP, "dbt_plan"] = first.to_json()
    address._known.clear()

    await tear_down(bench)

    assert set(bench.google.stored("plans")) == {*before, f"{RUN}/newest"}
    bench.airflow.xcoms[SETUP, "dbt_plan"] = second.to_json()
    address._known.clear()
    assert is_success(await bench.run()), bench.log.text
    await tear_down(bench)
    assert bench.google.stored("plans") == {}


# -- what a job is ----------------------------------------------------------------------------------------------------

TABLE = {"projectId": "p", "datasetId": "shop", "tableId": "orders"}
QUERY = {"query": {"query": "select 1", "useLegacySql": False}, "labels": {"team": "sales"}}
LOAD = {"load": {"destinationTable": TABLE, "skipLeadingRows": 1}}
COPY = {"copy": {"sourceTables": [TABLE], "destinationTable": {**TABLE, "tableId": "copy"}}}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (QUERY, QUERY),
        (
            QUERY,
            {
                "jobType": "QUERY",
                "query": {**QUERY["query"], "priority": "INTERACTIVE", "destinationTable": TABLE},
                "labels": {"team": "sales", "added": "by-somebody"},
                "jobTimeoutMs": "600000",
            },
        ),
        ({**QUERY, "jobTimeoutMs": "1"}, {**QUERY, "jobTimeoutMs": "2"}),
        ({**QUERY, "labels": {"dbt_invocation_id": "a"}}, {**QUERY, "labels": {"dbt_invocation_id": "b"}}),
        (LOAD, {"load": {"destinationTable": TABLE, "skipLeadingRows": "1", "sourceFormat": "CSV"}}),
        (COPY, {"copy": {"sourceTable": TABLE, "destinationTable": {**TABLE, "tableId": "copy"}}}),
    ],
    ids=["the same", "with defaults", "timeouts", "invocations", "numbers as text", "one source"],
)
def test_what_bigquery_adds_is_no_difference(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """Else nothing would ever be adopted, and a takeover would fail its task."""
    assert difference(wanted, found) is None


@pytest.mark.parametrize(
    ("wanted", "found", "what"),
    [
        (QUERY, {**QUERY, "query": {"query": "select 2"}}, "its SQL"),
        (QUERY, {"query": QUERY["query"]}, "its label team"),
        (QUERY, LOAD, "its kind"),
        (LOAD, {"load": {"destinationTable": {**TABLE, "datasetId": "x"}}}, "the table it writes to"),
        ({"load": {"sourceUris": ["gs://a"]}}, {"load": {"sourceUris": ["gs://b"]}}, "what it loads"),
        (
            COPY,
            {"copy": {**COPY["copy"], "sourceTables": [TABLE, TABLE]}},
            "the tables it reads",
        ),
        (
            {"copy": {**COPY["copy"], "writeDisposition": "WRITE_TRUNCATE"}},
            {"copy": {**COPY["copy"], "writeDisposition": "WRITE_APPEND"}},
            "whether it replaces or appends",
        ),
    ],
)
def test_another_job_is_told_by_what_it_does(wanted: Any, found: Any, what: str) -> None:
    """The message names the node, the job, what differs and the way out."""
    assert difference(wanted, found) == what
    resource = {"configuration": found, "jobReference": {"projectId": "p", "jobId": "j", "location": "US"}}

    with pytest.raises(JobTaken, match=rf"model\.shop\.x: .*p:US\.j .*{what}.*Clear this task"):
        require_same("model.shop.x", job("", configuration=wanted), resource)


# -- any history ------------------------------------------------------------------------------------------------------


@dataclass
class Planned:
    """One planned run, as its Airflow knows it."""

    place: int  #: which Airflow
    nonce: str
    folder: str
    tries: dict[int, int] = field(default_factory=dict)  #: of the node's task, by map index
    version: int = 0  #: how often it was planned anew


#: What happens next, in which Airflow, to which instance of the mapped task.
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["made again", "ran", "crashed", "tried again", "planned anew"]),
        st.integers(0, 1),
        st.integers(-1, 1),
    ),
    min_size=1,
    max_size=8,
)


class History:
    """Two Airflows with one billing project, the same DAG and the same run id, perhaps even one place for plans."""

    def __init__(self, google: FakeGoogle, identity: dict[str, Any], *, one_place: bool) -> None:
        self.google, self.identity, self.one_place = google, identity, one_place
        self.benches = [Bench(google, identity, airflow=FakeAirflow()) for _ in range(2)]
        self.known: list[Any] = [{}, {}]  # what each one's triggerer remembers
        self.runs: list[Planned] = []
        self.count = 0

    async def act(self, what: str, place: int, map_index: int) -> None:
        """Let something happen."""
        mine = [run for run in self.runs if run.place == place]
        run = mine[-1] if mine and what != "made again" else self.make(place)
        if what == "planned anew":
            run.version += 1
        if what in ("made again", "planned anew") or not mine:
            await self.plan(run)
        if what == "tried again":
            run.tries[map_index] = run.tries.get(map_index, 1) + 1
            await self.carry_out(run, map_index)
        elif what == "crashed":
            await self.carry_out(run, map_index, crash=True)
        elif what == "ran":
            await self.carry_out(run, map_index)

    def make(self, place: int) -> Planned:
        """Let an Airflow make the run anew; its scheduler's clock goes on."""
        self.count += 1
        base = "gs://plans/dbt" if self.one_place else f"gs://plans/dbt{place}"
        names = {"dag_id": "shop_dag", "group_id": SETUP, "run_id": "run1"}
        life = life_of(FakeClock().utc().replace(year=2030 + self.count))
        run = Planned(place, new_nonce(), run_folder(base, life=life, **names))
        self.runs.append(run)
        return run

    def mark(self, run: Planned) -> str:
        """Return what tells a planned run's SQL from all others."""
        return f"run {run.nonce} plan {run.version % 2} "

    async def plan(self, run: Planned) -> None:
        """Let setup plan; every second plan is the same again, but for dbt's invocation."""
        invocation = f"{run.nonce[:8]}-{run.version}"
        steps = [
            job(
                "",
                configuration={
                    "query": {
                        "query": f"insert into `p`.`shop`.`log` (text) select '{self.mark(run)}{step}'"
                    },
                    "labels": {"dbt_invocation_id": invocation},
                },
            )
            for step in range(2)
        ]
        await self.benches[run.place].plan(
            model("orders", *steps), folder=run.folder, nonce=run.nonce, invocation_id=invocation
        )

    async def carry_out(self, run: Planned, map_index: int, *, crash: bool = False) -> None:
        """Start the node's trigger, perhaps only for a few requests."""
        bench, try_number = self.benches[run.place], run.tries.setdefault(map_index, 1)
        trigger = bench.trigger(try_number=try_number)
        trigger.task_instance = replace_index(trigger.task_instance, map_index)
        bench.log.lines.clear()
        earlier = {made.job_id: made.spec.sql for made in self.google.inserted_jobs}
        with mock.patch.object(address, "_known", self.known[run.place]):
            life = asyncio.create_task(event_of(trigger))
            if crash:
                await self.google.requests.arrived("jobs.insert", count=self.inserts + 1)
                bench.airflow.silent = True
                await cancelled(life)
                bench.airflow.silent = False
                return
            event = await life
        self.check(run, map_index, event, bench, earlier)

    @property
    def inserts(self) -> int:
        """How many jobs were asked for."""
        return len(self.google.requests.of("jobs.insert"))

    def check(self, run: Planned, map_index: int, event: Any, bench: Bench, earlier: dict[str, str]) -> None:
        """Look at whose jobs the task has taken for its own."""
        attached = [
            made
            for made in self.google.inserted_jobs
            if f"attached to BigQuery job p:US.{made.job_id}" in bench.log.text
        ]
        assert all(self.mark(run) in earlier[made.job_id] for made in attached), bench.log.text
        for made in self.google.inserted_jobs:
            assert f"cancelling BigQuery job p:US.{made.job_id}" not in bench.log.text or (
                run.nonce in made.spec.sql
            )
        told = f"t{run.tries[map_index]}"
        done = [
            made.spec.sql
            for made in self.google.inserted_jobs
            if made.job_id in bench.log.text and f"_{told}_" in made.job_id
        ]
        if is_success(event):
            # Green means: this planned run's own two statements, by its newest plan.
            assert [self.mark(run) in sql for sql in done] == [True, True], bench.log.text
        else:
            assert "is another" in bench.log.text, bench.log.text
            assert run.version, "only a plan made anew can be in the way"


def replace_index(instance: Any, map_index: int) -> Any:
    """Return the task instance with another map index."""
    instance.map_index = map_index
    return instance


async def live_through(acts: list[tuple[str, int, int]], one_place: bool, folder: Path) -> None:
    """Play a history."""
    async with FakeGoogle(project_id="p") as google:
        google.add_table("p", "shop", "log", schema=[{"name": "text", "type": "STRING"}])
        google.add_bucket("plans")
        output = {"type": "bigquery", "method": "service-account-json", "keyfile_json": google.key_file}
        path = folder / "profiles.yml"
        path.write_text(json.dumps({"shop": {"outputs": {"prod": output}}}))
        endpoints = {
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.endpoint,
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.endpoint,
        }
        defaults = {"clock": FakeClock()}
        with (
            mock.patch.dict("os.environ", endpoints),
            mock.patch.dict(session.shared_session.__wrapped__.__kwdefaults__, defaults),  # type: ignore[attr-defined]
        ):
            identity = {"profiles_yml": str(path), "profile": "shop", "target": "prod"}
            history = History(google, identity, one_place=one_place)
            for what, place, map_index in acts:
                await history.act(what, place, map_index)
        ids = [made.job_id for made in google.inserted_jobs]
        assert len(ids) == len(set(ids))


@given(acts=ACTS, one_place=st.booleans())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_green_means_that_the_run_s_own_plan_was_carried_out(
    acts: list[tuple[str, int, int]], one_place: bool
) -> None:
    """Runs made again, two Airflows, crashes, retries, plans made anew, map indexes, in any order."""
    with TemporaryDirectory() as folder:
        asyncio.run(live_through(acts, one_place, Path(folder)))
