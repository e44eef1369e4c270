"""What the results task tells of a run: its own outcomes, and no other run's of the same name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.store import PlanAddress

RUN = RunInfo("d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1")


def outcome(name: str) -> Outcome:
    """How a node ended."""
    at = "2026-01-01T00:00:00+00:00"
    return Outcome(f"model.shop.{name}", Status.SUCCESS, "fine", Level.STATIC, at, at, 1)


def plan_in(folder: Path, life: str) -> RunPlan:
    """Return the plan of one life of a run."""
    address = PlanAddress(str(folder / "d" / "g" / "r" / life), index="0", host="h").to_json()
    instance: Any = SimpleNamespace(run_id="r", map_index=-1, xcom_pull=lambda **_: address)
    return RunPlan(SimpleNamespace(setup_task_id="plan", identity={}), {"ti": instance})


@pytest.mark.parametrize(
    ("nonce", "follows", "known"),
    [
        ("first", None, {"orders", "customers"}),  # the results task is tried again
        ("second", "first", {"orders", "customers"}),  # the run had ended and was cleared
        ("second", None, {"customers"}),  # it was deleted and made again, or is another Airflow's
    ],
)
def test_outcomes_that_were_kept_count_for_their_own_run(
    tmp_path: Path, nonce: str, follows: str | None, known: set[str]
) -> None:
    """A node that was skipped this time must not be told as the success of another run."""
    plan_in(tmp_path, "a").keep_artifacts({}, [outcome("orders")], run=replace(RUN, nonce="first"))
    later = plan_in(tmp_path, "b")
    later.write_outcomes([outcome("customers")])

    found = later.outcomes(replace(RUN, nonce=nonce, follows=follows))

    assert set(found) == {f"model.shop.{name}" for name in known}
