"""The checker of the chaos suite finds what it is there to find."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.check import Ids, Verdict, check
from tests.chaos.plans import Node, plan_of
from tests.chaos.story import Click, Story, Takeover
from tests.chaos.takeovers import Start

NODE = Node("n1", "steps", (), (1, 40))
FIRST, SECOND = 2, 3  # the positions of its statements


def a_good_run() -> dict[str, Any]:
    """Return what everybody says of a run in which all is well: one node, two statements, one try."""
    ids = Ids("run", [NODE])
    jobs = []
    for position in (FIRST, SECOND):
        step: Any = plan_of(NODE).steps[position]
        (job_id, *_) = ids.of("n1", 1, position)
        job = {"id": job_id, "created": 100.0, "ended": 101.0, "state": "DONE", "error": None}
        jobs.append({**job, "sql": step.configuration["query"]["query"]})
    inserts = [{"operation": "jobs.insert", "id": job["id"], "at": 100.0, "status": 200} for job in jobs]
    return {
        "nodes": [NODE],
        "ids": ids,
        "tasks": {"n1": {"state": "success", "try_number": 1}, "plan": {"state": "success", "try_number": 1}},
        "report": {"jobs": jobs, "requests": inserts},
        "outcomes": {NODE.unique_id: {"status": "success", "try_number": 1}},
        "story": Story(90.0),
        "starts": [Start(99.0, 7, "run", "n1", 1)],
        "takeovers": [],
    }


def verdict_on(run: dict[str, Any]) -> Verdict:
    """Return the verdict."""
    return check(Verdict(1, 1), **run)


def test_a_good_run_is_well() -> None:
    """Otherwise every test below would prove nothing."""
    verdict = verdict_on(a_good_run())

    assert verdict.well, verdict
    assert (verdict.jobs, verdict.tries) == (2, 1)


def test_a_statement_that_ran_twice_is_a_duplicate() -> None:
    """Whatever its second id."""
    for other in (
        "cosmos_unknown",
        Ids("run", [NODE]).of("n1", 1, FIRST)[1],
        Ids("run", [NODE]).of("n1", 2, FIRST)[0],
    ):
        run = a_good_run()
        run["report"]["jobs"].append({**run["report"]["jobs"][0], "id": other})

        assert verdict_on(run).duplicates, other


def test_a_hook_that_ran_twice_for_one_plan_is_a_duplicate() -> None:
    """It belongs to the run, not to a task."""
    run = a_good_run()
    hook = {**run["report"]["jobs"][0], "sql": "/* hook */ select 1"}
    run["report"]["jobs"] += [{**hook, "id": "h1"}, {**hook, "id": "h2"}]

    assert verdict_on(run).duplicates == ["hook ran 2 times in 1 tries"]


def test_a_job_that_runs_at_the_end_is_an_orphan() -> None:
    """No task waits for it."""
    run = a_good_run()
    run["report"]["jobs"].append({**run["report"]["jobs"][0], "id": "x", "sql": "", "state": "RUNNING"})

    assert verdict_on(run).orphans == ["x is still RUNNING"]


@pytest.mark.parametrize(("ended", "orphan"), [(105.0, False), (200.0, True)])
def test_a_job_that_goes_on_after_its_task_was_stopped_is_an_orphan(ended: float, orphan: bool) -> None:
    """Half a minute is what it may take."""
    run = a_good_run()
    job = run["report"]["jobs"][1]
    job["ended"] = ended
    run["story"].clicks.append(Click(101.0, "n1", 1, "fail", job["id"], triggerer=7))
    run["report"]["requests"].append(
        {"operation": "jobs.cancel", "id": job["id"], "at": 103.0, "status": 200}
    )

    verdict = verdict_on(run)

    assert bool(verdict.orphans) is orphan
    assert verdict.cancels == [2.0]


def test_a_job_that_nobody_could_cancel_is_counted_apart() -> None:
    """No triggerer had it when the task was stopped."""
    run = a_good_run()
    job = run["report"]["jobs"][1]
    job["ended"] = 200.0
    run["story"].clicks.append(Click(101.0, "n1", 1, "fail", job["id"], triggerer=None))

    verdict = verdict_on(run)

    assert (verdict.orphans, len(verdict.unwatched)) == ([], 1)


def test_a_triggerer_that_had_not_come_to_the_job_did_not_watch() -> None:
    """It had taken the task over, and was not ready yet when the task was stopped."""
    run = a_good_run()
    job = run["report"]["jobs"][1]
    job["ended"] = 200.0
    run["starts"].append(Start(100.5, 8, "run", "n1", 1))
    run["story"].clicks.append(Click(101.0, "n1", 1, "fail", job["id"], triggerer=8))

    verdict = verdict_on(run)

    assert (verdict.orphans, len(verdict.unwatched)) == ([], 1)


def test_a_triggerer_that_is_lost_before_it_can_react_did_not_watch() -> None:
    """It had the task at the click, and was gone when Airflow told it."""
    run = a_good_run()
    job = run["report"]["jobs"][1]
    job["ended"] = 200.0
    run["story"].clicks.append(Click(101.0, "n1", 1, "fail", job["id"], triggerer=7))
    run["story"].losses.append(103.0)

    verdict = verdict_on(run)

    assert (verdict.orphans, len(verdict.unwatched)) == ([], 1)


@pytest.mark.parametrize(
    "outcome", [None, {"status": "success", "try_number": 2}, {"status": "error", "try_number": 1}]
)
def test_an_outcome_that_does_not_fit_is_found(outcome: Any) -> None:
    """Missing, of another try, of another end."""
    run = a_good_run()
    run["outcomes"] = {} if outcome is None else {NODE.unique_id: outcome}

    verdict = verdict_on(run)

    assert bool(verdict.lost_outcomes) is (outcome is None)
    assert bool(verdict.disagreements) is (outcome is not None)


def test_a_task_that_succeeded_without_its_job_is_found() -> None:
    """The state says what was not done."""
    run = a_good_run()
    run["report"]["jobs"].pop()

    assert verdict_on(run).disagreements


@pytest.mark.parametrize(
    ("state", "clicked", "well"), [("failed", False, False), ("failed", True, True), (None, True, False)]
)
def test_a_task_that_failed_by_itself_is_found(state: str | None, clicked: bool, well: bool) -> None:
    """Faults are to be ridden out; a click is a click."""
    run = a_good_run()
    run["tasks"]["n1"]["state"] = state
    if clicked:
        run["story"].clicks.append(Click(101.0, "n1", 1, "fail", None, triggerer=7))

    assert verdict_on(run).well is well


@pytest.mark.parametrize(("age", "warm"), [(100.0, True), (3.0, False)])
def test_the_time_to_resume_counts_from_airflow_s_own_takeover(age: float, warm: bool) -> None:
    """Those of a triggerer that has just started are counted apart."""
    run = a_good_run()
    run["takeovers"].append(Takeover(110.5, "n1", 1, age))
    again = {"operation": "jobs.insert", "id": run["report"]["jobs"][0]["id"], "at": 111.5, "status": 409}
    run["report"]["requests"].append(again)

    verdict = verdict_on(run)

    assert (verdict.resumptions, verdict.cold_resumptions) == (([1.0], []) if warm else ([], [1.0]))
    assert verdict.adopted == 1


def test_a_takeover_by_one_that_is_lost_as_well_is_not_timed() -> None:
    """What it takes until the next one has it tells of two."""
    run = a_good_run()
    run["takeovers"].append(Takeover(110.5, "n1", 1, 60.0))
    run["story"].losses.append(111.0)
    again = {"operation": "jobs.insert", "id": run["report"]["jobs"][0]["id"], "at": 150.0, "status": 409}
    run["report"]["requests"].append(again)

    assert verdict_on(run).resumptions == []
