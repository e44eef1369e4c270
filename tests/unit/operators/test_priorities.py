"""What nodes took is kept from one run to the next where jobs may have to wait."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cosmos_async.operators.priorities import keep_seconds, prioritized
from cosmos_async.plan.model import Index, IndexEntry, Level
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.task_graph import GraphTask, TaskGraph
from tests.unit.operators.test_results import RUN

OPERATOR = SimpleNamespace(identity={}, log=logging.getLogger(__name__))
GRAPH = TaskGraph(
    {
        "orders.run": GraphTask("node", "model.shop.orders", ()),
        "report.run": GraphTask("node", "model.shop.report", ("orders.run",)),
        "deselected.run": GraphTask("node", "model.shop.deselected", ()),
    }
)
INDEX = Index(
    RUN, {f"model.shop.{name}": IndexEntry(name, "model", Level.STATIC, "") for name in ("orders", "report")}
)


def took(unique_id: str, seconds: int) -> Outcome:
    began, ended = "2026-01-01T00:00:00+00:00", f"2026-01-01T00:00:{seconds:02}+00:00"
    return Outcome(unique_id, Status.SUCCESS, "", Level.STATIC, began, ended, 1)


@pytest.mark.parametrize("bound", ["run", "setting", "none"])
def test_the_next_run_knows_what_nodes_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Nobody writes it where no job waits for another."""
    if bound == "setting":
        monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__MAX_CONCURRENT_JOBS", "4")
    run = replace(RUN, max_jobs=4 if bound == "run" else 0)
    folder = tmp_path / "dag" / "setup" / "run1" / "life"

    before = prioritized(GRAPH, INDEX, str(folder), OPERATOR)
    keep_seconds(str(folder), run, [took("model.shop.orders", 30), took("model.shop.report", 12)], OPERATOR)
    after = prioritized(GRAPH, INDEX, str(folder.parent.parent / "run2" / "life"), OPERATOR)

    assert before.tasks["orders.run"].seconds_left == 2.0
    assert after.tasks["orders.run"].seconds_left == (2.0 if bound == "none" else 42.0)


def test_a_store_that_cannot_be_used_costs_the_order_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on."""
    (tmp_path / "dag").write_text("a file in the place of a folder")
    folder = str(tmp_path / "dag" / "setup" / "run1" / "life")

    keep_seconds(folder, replace(RUN, max_jobs=1), [took("model.shop.orders", 1)], OPERATOR)

    assert "cannot be kept" in caplog.text
