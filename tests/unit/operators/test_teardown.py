"""The teardown task on a worker: it ends there where its trigger could not end it, and announces what nobody has announced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG, AirflowException
from cosmos_async.operators import teardown
from cosmos_async.operators.teardown import TeardownAsyncOperator
from cosmos_async.plan.announcements import Announcement, load_announcements

ORDERS = Announcement("model.shop.orders", "p.shop.orders", "d__orders_run", "now")


@pytest.fixture
def task() -> Any:
    """The task."""
    with DAG("d", schedule=None):
        return TeardownAsyncOperator(task_id="t", setup_task_id="setup", identity={})


def test_what_the_results_task_could_not_announce_is_announced(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: a task of the run that is cleared later finds it recorded."""
    kept: dict[str, bytes] = {}
    told: list[Any] = []
    plan = SimpleNamespace(announcements=lambda: [ORDERS], keep=lambda name, data: kept.update({name: data}))
    monkeypatch.setattr(teardown, "RunPlan", lambda operator, context: plan)
    monkeypatch.setattr(teardown, "announce", lambda operator, context, found: told.extend(found))

    task.execute_complete({}, {"status": "announce", "message": ""})

    assert told == [ORDERS]
    assert [one.made for one in load_announcements(kept["announcements.json"])] == [True]


@pytest.mark.parametrize("event", [None, {"status": "failed", "message": "no folder"}])
def test_a_teardown_that_failed_fails(task: Any, event: Any) -> None:
    """In the words of its trigger, if there are any."""
    with pytest.raises(AirflowException, match=r"no folder|without a word"):
        task.execute_complete({}, event)


def test_a_teardown_that_went_well_ends(task: Any) -> None:
    """Where no trigger ends a task."""
    assert task.execute_complete({}, {"status": "success", "message": ""}) is None
