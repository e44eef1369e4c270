"""
When triggers began in which triggerer, and so which of them Airflow has given to another one: told by the tasks' logs.

Each triggerer writes a file of its own for each try, whose first line says that the trigger starts.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.chaos.story import Takeover

#: `airflow.logging_config`'s template, and what a triggerer adds to it.
_NAME = re.compile(r"run_id=([^/]+)/task_id=([^/]+)/attempt=(\d+)\.log\.trigger\.(\d+)\.log$")


class Start(NamedTuple):
    """A trigger began in a triggerer."""

    at: float
    triggerer: int
    run_id: str
    task_id: str
    try_number: int


def takeovers_of(starts: list[Start], run_id: str) -> list[Takeover]:
    """
    Return the takeovers of a run.

    Args:
        starts: Of all runs: they tell how long a triggerer has had triggers.
        run_id: Of the DAG run.
    """
    first: dict[int, float] = {}
    tries: dict[tuple[str, int], list[Start]] = defaultdict(list)
    for start in sorted(starts):
        first.setdefault(start.triggerer, start.at)
        if start.run_id == run_id:
            tries[start.task_id, start.try_number].append(start)
    return [
        Takeover(start.at, start.task_id, start.try_number, start.at - first[start.triggerer])
        for each in tries.values()
        for start in each[1:]
    ]


def starts_in(logs: Path) -> Iterator[Start]:
    """Yield what the files in Airflow's folder of logs tell."""
    for file in logs.rglob("attempt=*.log.trigger.*.log"):
        found = _NAME.search(file.as_posix())
        with file.open(encoding="utf-8") as lines:
            line = lines.readline()
        if found is None or " starting" not in line:
            continue  # it ended before it could say so
        at = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        run_id, task_id, try_number, triggerer = found.groups()
        yield Start(at, int(triggerer), run_id, task_id, int(try_number))
