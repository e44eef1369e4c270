"""
The results task fails where a hook of the run failed, and only after everything is kept.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import AirflowFailException
from cosmos_async.dbt.results import Artifacts
from cosmos_async.exceptions import DbtError
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.run_plan import RunRecord
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, load_announcements
from cosmos_async.plan.model import Hook, Index, IndexEntry, Level, RunInfo, dump_index, load_index
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.store import PlanAddress

ORDERS, SOURCE = "model.shop.orders", "source.shop.till.orders"
RUN = RunInfo("d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1")
DBT = SimpleNamespace(workspace=SimpleNamespace(own_artifact=lambda data: data))
HOOK = Hook("operation.shop.hook", "shop.on-run-start.0", 0, 1)


def outcome(unique_id: str, status: Status, message: str) -> Outcome:
    """How a node or a hook ended."""
    at = "2026-01-01T00:00:00+00:00"
    return Outcome(unique_id, status, message, Level.STATIC, at, at, 1)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the task on outcomes; return the outcomes that dbt was told and the XComs."""

    def run(*outcomes: Outcome) -> tuple[list[str], dict[str, Any]]:
        told: list[str] = []
        xcoms: dict[str, Any] = {}
        run.files = {}  # type: ignore[attr-defined]
        nodes = {
            unique_id: IndexEntry("n", "model", Level.STATIC, "", "0", relation="p.shop.orders")
            for unique_id in ("model.shop.orders", SOURCE)
        }
        info = replace(RUN, fail_fast=run.fail_fast, nonce="n")  # type: ignore[attr-defined]
        index = dump_index(Index(info, nodes, hooks=(HOOK,)))

        plan = SimpleNamespace(
            address=PlanAddress("gs://plans/d/g/r/life", "", ""),
            record=lambda: RunRecord(
                index,
                b"{}",
                {},
                {each.unique_id: each for each in outcomes},
                run.announced,  # type: ignore[attr-defined]
            ),
            keep_artifacts=lambda files, kept, **info: run.files.update(files) or "gs://kept",  # type: ignore[attr-defined]
            parsed_or_none=lambda info: None,
            failed_task=lambda key: run.failed_task,  # type: ignore[attr-defined]
            keep=lambda name, data: run.files.update({name: data}),  # type: ignore[attr-defined]
        )
        monkeypatch.setattr("cosmos_async.operators.results.RunPlan", lambda *args, **kwargs: plan)
        monkeypatch.setattr("cosmos_async.operators.results.airflow_context", lambda context: {})
        monkeypatch.setattr(
            "cosmos_async.dbt.session.open_dbt", lambda *args, **kwargs: contextlib.nullcontext(DBT)
        )

        def write(dbt: Any, found: Any, **kwargs: Any) -> Artifacts:
            # dbt may be killed here.
            assert "compiled.json" in run.files  # type: ignore[attr-defined]
            assert xcoms == {"dbt_kept": "n"}
            told.extend(each.unique_id for each in found)
            results, manifest = tmp_path / "run_results.json", tmp_path / "manifest.json"
            results.write_text('{"metadata": {"dbt_version": "1.11"}, "results": []}')
            manifest.write_text('{"metadata": {}, "nodes": {}}')
            return Artifacts(results, manifest)

        monkeypatch.setattr("cosmos_async.dbt.results.write_results", write)
        monkeypatch.setattr(
            "cosmos_async.dbt.results.own_results", lambda dbt, path: json.loads(path.read_bytes())
        )
        operator = ResultsAsyncOperator(
            task_id="results",
            setup_task_id="setup",
            identity={},
            dbt=SimpleNamespace(rendered=lambda *args: None),
            aliases=run.aliases,  # type: ignore[attr-defined]
        )
        monkeypatch.setattr(
            "cosmos_async.operators.results.announce",
            lambda operator, context, found: run.told_airflow.extend(found),  # type: ignore[attr-defined]
        )
        instance = SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id="results",
            map_index=-1,
            try_number=1,
            xcom_push=lambda key, value: xcoms.update({key: value}),
        )
        try:
            operator.execute({"ti": instance})
        finally:
            run.told, run.xcoms = told, xcoms  # type: ignore[attr-defined]
        return told, xcoms

    run.fail_fast, run.failed_task = False, None  # type: ignore[attr-defined]
    run.aliases, run.announced, run.told_airflow = {}, [], []  # type: ignore[attr-defined]
    return run


def test_dbt_is_told_of_hooks_and_nodes(task: Any) -> None:
    """Both are results of the run."""
    told, xcoms = task(
        outcome(HOOK.unique_id, Status.SUCCESS, "shop.on-run-start.0 passed"),
        outcome("model.shop.orders", Status.ERROR, "wrong"),
        outcome("model.shop.gone", Status.SUCCESS, "not of this plan"),
    )

    assert told == [HOOK.unique_id, "model.shop.orders"]
    assert xcoms == {"dbt_kept": "n", "dbt_artifacts": "gs://kept"}


def test_what_tasks_need_that_are_cleared_later_is_kept(task: Any) -> None:
    """The run's teardown deletes its plan; the results may be told anew without it, too."""
    told, _ = task(outcome("model.shop.orders", Status.SUCCESS, "fine"))

    assert told == ["model.shop.orders"]
    assert list(load_index(task.files["index.json"]).nodes) == ["model.shop.orders", SOURCE]
    assert task.files["compiled.json"] == b"{}"


@pytest.mark.parametrize("broken", ["operators.results.forget_outdated", "dbt.results.tell_results"])
def test_outcomes_are_kept_first_of_all(task: Any, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """The teardown deletes the run's folder however this task ends."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DbtError("It is gone.")

    monkeypatch.setattr(f"cosmos_async.{broken}", fail)

    with pytest.raises(DbtError, match="It is gone"):
        task(outcome("model.shop.orders", Status.SUCCESS, "fine"))

    assert task.xcoms == {"dbt_kept": "n"}
    assert task.files["compiled.json"] == b"{}"


def test_a_failed_start_hook_fails_the_run_in_the_end(task: Any) -> None:
    """dbt builds the nodes all the same, and ends with an error."""
    with pytest.raises(DbtError, match=r"shop\.on-run-start\.0 failed, error"):
        task(outcome(HOOK.unique_id, Status.ERROR, "shop.on-run-start.0 failed, error:\n no such table"))

    assert task.told == [HOOK.unique_id]
    assert task.xcoms == {"dbt_kept": "n", "dbt_artifacts": "gs://kept"}


@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_run_that_was_stopped_has_failed(task: Any, fail_fast: bool) -> None:
    """Airflow may have skipped all that it looks at to decide; and no retry changes it."""
    task.fail_fast, task.failed_task = fail_fast, "shop.orders.run"
    ends = (
        pytest.raises(AirflowFailException, match=r"shop\.orders\.run has failed")
        if fail_fast
        else contextlib.nullcontext()
    )

    with ends:
        task(outcome("model.shop.orders", Status.ERROR, "wrong"))

    assert task.xcoms == {"dbt_kept": "n", "dbt_artifacts": "gs://kept"}


def test_the_freshness_of_sources_is_an_artifact_of_its_own(task: Any) -> None:
    """In dbt's format; without sources there is no such file."""
    task(outcome("model.shop.orders", Status.SUCCESS, "fine"))
    assert "sources.json" not in task.files

    measured = {"unique_id": SOURCE, "status": "warn"}
    task(replace(outcome(SOURCE, Status.WARN, "old"), freshness=measured))
    written = json.loads(task.files["sources.json"])

    assert written["results"] == [measured]
    assert written["metadata"] == {
        "dbt_version": "1.11",
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json",
    }


def recorded(task: Any) -> dict[str, bool]:
    """Which nodes stand in the record of announcements, and whether Airflow has been told."""
    return {one.unique_id: one.made for one in load_announcements(task.files[ANNOUNCEMENTS_FILE])}


def test_what_was_built_is_announced_when_all_else_is_done(task: Any) -> None:
    """And what Airflow was told is recorded, for the next task of the run."""
    task.aliases = {ORDERS: "d__orders_run", "model.shop.other": "d__other_run"}

    task(outcome(ORDERS, Status.SUCCESS, "fine"))

    assert [one.alias for one in task.told_airflow] == ["d__orders_run"]
    assert recorded(task) == {ORDERS: True}


@pytest.mark.parametrize("end", ["a hook", "fail-fast"])
def test_a_task_that_fails_announces_nothing_and_leaves_it_to_the_teardown(task: Any, end: str) -> None:
    """Airflow takes events of a task that succeeds; the record says which are missing."""
    task.aliases = {ORDERS: "d__orders_run"}
    task.fail_fast, task.failed_task = (end == "fail-fast"), "shop.totals.run"
    hook = Status.ERROR if end == "a hook" else Status.SUCCESS

    with pytest.raises((DbtError, AirflowFailException)):
        task(outcome(HOOK.unique_id, hook, "wrong"), outcome(ORDERS, Status.SUCCESS, "fine"))

    assert task.told_airflow == []
    assert recorded(task) == {ORDERS: False}


def test_what_was_announced_is_told_as_such(task: Any) -> None:
    """Another task of the run was cleared, and the results are told anew."""
    task.aliases = {ORDERS: "d__orders_run"}
    task(outcome(ORDERS, Status.SUCCESS, "fine"))
    task.announced, task.told_airflow = load_announcements(task.files[ANNOUNCEMENTS_FILE]), []

    task(outcome(ORDERS, Status.SUCCESS, "fine"))

    assert [one.made for one in task.told_airflow] == [True]


def test_a_task_that_announces_nothing_keeps_no_record(task: Any) -> None:
    """As where ``emit_datasets`` is off."""
    task(outcome(ORDERS, Status.SUCCESS, "fine"))

    assert ANNOUNCEMENTS_FILE not in task.files
    assert task.told_airflow == []
