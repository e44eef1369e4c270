"""
The tasks of a run and what each of them waits for, so that a triggerer knows which ones come after one that has succeeded.

Pure. Setup writes it beside the plan; :mod:`cosmos_async.triggers.execution.run_ahead` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cosmos_async.exceptions import PlanDamaged

Json = dict[str, Any]


@dataclass(frozen=True)
class GraphTask:
    """One task of the run that executes nodes."""

    work: str  #: see :func:`cosmos_async.triggers.execution.task_nodes.nodes_of`
    unique_id: str | None
    #: Ids of the tasks that must have succeeded first; None where it waits for something else as well, or begins on a
    #: worker, so that only Airflow can begin it.
    above: tuple[str, ...] | None
    ends_in_triggerer: bool = True  #: nothing of it is left to a worker once its nodes have succeeded
    seconds_left: float = 0.0  #: from its start to the run's end, see :mod:`cosmos_async.plan.priorities`


@dataclass(frozen=True)
class TaskGraph:
    """The tasks of a run, by id."""

    tasks: Mapping[str, GraphTask]

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for task_id, task in self.tasks.items():
            for above in task.above or ():
                found.setdefault(above, []).append(task_id)
        return found

    def below(self, task_id: str) -> Iterator[str]:
        """Yield the tasks that can begin once *task_id* and all else above them have succeeded."""
        yield from self._below.get(task_id, ())

    def all_above(self, task_id: str) -> set[str]:
        """Return the tasks that must have succeeded before *task_id*, those above them included."""
        found: set[str] = set()
        waiting = [task_id]
        while waiting:
            task = self.tasks.get(waiting.pop())
            for above in (task.above or ()) if task is not None else ():
                if above not in found:
                    found.add(above)
                    waiting.append(above)
        return found

    def missing(self, task_id: str, succeeded: Iterable[str]) -> set[str]:
        """Return the tasks above *task_id* that are not among those that have *succeeded*."""
        return set(self.tasks[task_id].above or ()).difference(succeeded)

    def dump(self) -> bytes:
        """Return it as it is stored."""
        document = {
            task_id: [task.work, task.unique_id, task.above, task.ends_in_triggerer, task.seconds_left]
            for task_id, task in self.tasks.items()
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes) -> TaskGraph:
        """
        Read what :meth:`dump` wrote.

        Raises:
            PlanDamaged: It is something else.
        """
        try:
            return cls(
                {
                    task_id: GraphTask(work, unique_id, None if above is None else tuple(above), ends, left)
                    for task_id, (work, unique_id, above, ends, left) in json.loads(data).items()
                }
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise PlanDamaged(f"the graph of the run's tasks cannot be read: {error}") from error
