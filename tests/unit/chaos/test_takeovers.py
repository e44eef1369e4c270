"""Takeovers are found in the logs as Airflow's triggerers write them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.story import Takeover
from tests.chaos.takeovers import starts_in, takeovers_of


def started(logs: Path, run_id: str, task_id: str, triggerer: int, second: int) -> None:
    """Write the log of a trigger that has started."""
    file = logs / f"dag_id=chaos/run_id={run_id}/task_id={task_id}/attempt=1.log.trigger.{triggerer}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "timestamp": f"2026-01-01T00:00:{second:02}+00:00",
        "event": f"trigger chaos/{run_id}/{task_id}/-1/1 (ID 1) starting",
    }
    file.write_text(json.dumps(line) + "\n")


def test_who_comes_second_has_taken_over(tmp_path: Path) -> None:
    """And has had triggers since its first one, of whichever run."""
    started(tmp_path, "seed-1", "n7", 5, 2)
    started(tmp_path, "seed-2", "n1", 4, 20)
    started(tmp_path, "seed-2", "n1", 5, 50)
    started(tmp_path, "seed-2", "n2", 4, 21)

    starts = list(starts_in(tmp_path))
    (one,) = takeovers_of(starts, "seed-2")

    assert one == Takeover(one.at, "n1", 1, 48.0)
    assert takeovers_of(starts, "seed-1") == []
