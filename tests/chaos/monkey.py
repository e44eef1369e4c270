"""
What goes wrong during a run: decided by a seed, carried out one after the other.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2

from tests.airflow.rest import RestError
from tests.chaos.story import DAG_ID, WARM, Click, Story
from tests.chaos.world import TRIGGERERS, World

#: How to lose a part of Airflow, how often, and for how many seconds.
LOSSES = {
    "term": (2, (0, 5)),
    "kill": (2, (1, 10)),
    "kill_machine": (1, (1, 35)),
    "freeze": (2, (3, 45)),
    "database": (1, (1, 6)),
}
#: The first loss leaves its triggers to one that has had some for long enough to be quick.
FIRST = ("term", "kill_machine")
#: What somebody may click, and how often.
CLICKS = {"fail": 3, "clear": 2}


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong."""

    at: float  #: seconds after the beginning
    kind: str
    victim: float  #: in [0, 1): which of those there are
    seconds: float  #: how long it lasts, where it does


def troubles_of(seed: int, seconds: float) -> list[Trouble]:
    """
    Return what goes wrong within *seconds*; the same for the same seed.

    Clicks come every few seconds. Losses leave Airflow some time in between: where nothing runs, nothing can go wrong.
    """
    chance = random.Random(seed)
    found = []
    # Each kind once, in an order of its own; then by chance.
    first = chance.choice(FIRST)
    order = [kind for kind in LOSSES if kind != first]
    chance.shuffle(order)
    order.append(first)
    at = WARM + chance.uniform(8, 15)
    while at < seconds:
        kind = (
            order.pop() if order else chance.choices(list(LOSSES), [often for often, _ in LOSSES.values()])[0]
        )
        found.append(Trouble(at, kind, chance.random(), chance.uniform(*LOSSES[kind][1])))
        at += chance.uniform(12, 25)
    at = chance.uniform(8, 12)
    while at < seconds:
        kind = chance.choices(list(CLICKS), list(CLICKS.values()))[0]
        found.append(Trouble(at, kind, chance.random(), 0.0))
        at += chance.uniform(1.5, 6)
    return sorted(found, key=lambda trouble: trouble.at)


class Monkey:
    """
    Carries out a seed's troubles.

    Args:
        world: What is broken.
        run_id: The run during which it is.
        job_of: Returns the ids of a task's jobs at a try.
    """

    def __init__(self, world: World, run_id: str, job_of: Callable[[str, int], list[str]]) -> None:
        self._world = world
        self._run_id = run_id
        self._job_of = job_of
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._sick: set[str] = set()
        self.story = Story(time.time())

    def rage(self, troubles: list[Trouble]) -> None:
        """Do it all, and leave everything running again."""
        for trouble in troubles:
            self._sleep_until(self.story.began + trouble.at)
            if self._over():
                break
            try:
                getattr(self, f"_{trouble.kind}")(trouble)
            except (psycopg2.OperationalError, RestError, OSError) as error:
                # The database or the api-server is away: whoever clicks sees an error and nothing happens.
                self._note(f"{trouble.kind}: nothing, {type(error).__name__}")
        while self._due:
            self._sleep_until(max(at for at, _ in self._due))

    def _sleep_until(self, moment: float) -> None:
        while True:
            self._world.revive()
            for at, action in sorted(self._due, key=lambda due: due[0]):
                if at <= time.time():
                    self._due.remove((at, action))
                    action()
            if time.time() >= moment:
                return
            time.sleep(0.2)

    def _over(self) -> bool:
        try:
            return self._world.run_state(DAG_ID, self._run_id) in ("success", "failed") and not self._due
        except psycopg2.OperationalError:
            return False

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._due.append((time.time() + seconds, action))

    def _note(self, text: str) -> None:
        self.story.events.append((round(time.time() - self.story.began, 1), text))

    # -- triggerers ---------------------------------------------------------------------------------------------------

    def _term(self, trouble: Trouble) -> None:
        self._end(trouble, signal.SIGTERM, tree=False)

    def _kill(self, trouble: Trouble) -> None:
        # Its runner lives on for a while: two of each trigger.
        self._end(trouble, signal.SIGKILL, tree=False)

    def _kill_machine(self, trouble: Trouble) -> None:
        self._end(trouble, signal.SIGKILL, tree=True)

    def _end(self, trouble: Trouble, number: int, *, tree: bool) -> None:
        name = self._triggerer(trouble)
        if name is None:
            return
        self._note(f"{signal.Signals(number).name} to {name}, again after {trouble.seconds:.0f} s")
        self._sick.add(name)
        self._world.down.add(name)
        self.story.deaths.append((time.time(), name, trouble.kind))
        self.story.losses.append(time.time())
        self._world.signal(name, number, tree=tree)

        def again() -> None:
            self._world.down.discard(name)
            self._sick.discard(name)

        self._later(trouble.seconds, again)

    def _freeze(self, trouble: Trouble) -> None:
        name = self._triggerer(trouble)
        if name is None:
            return
        self._note(f"{name} is frozen for {trouble.seconds:.0f} s")
        self._sick.add(name)
        self.story.losses.append(time.time())
        self._world.signal(name, signal.SIGSTOP, tree=True)

        def thaw() -> None:
            self._world.signal(name, signal.SIGCONT, tree=True)
            self._sick.discard(name)

        self._later(trouble.seconds, thaw)

    def _triggerer(self, trouble: Trouble) -> str | None:
        well = [name for name in TRIGGERERS if name not in self._sick]
        return well[int(trouble.victim * len(well))] if well else None

    def _database(self, trouble: Trouble) -> None:
        self._note(f"the database is away for {trouble.seconds:.0f} s")
        self.story.losses.append(time.time())
        self._world.postgres.stop()
        time.sleep(trouble.seconds)
        self._world.postgres.start()

    # -- clicks -------------------------------------------------------------------------------------------------------

    def _fail(self, trouble: Trouble) -> None:
        tasks, running = self._world.tasks(DAG_ID, self._run_id), self._world.running()
        with_job = [
            (task_id, row, job_id)
            for task_id, row in sorted(tasks.items())
            if row["state"] == "deferred"
            for job_id in self._job_of(task_id, row["try_number"])
            if running.get(job_id, 0) > 5
        ]
        if not with_job:
            return
        task_id, row, job_id = with_job[int(trouble.victim * len(with_job))]
        self._click("fail", task_id, row, job_id)
        self._world.mark(DAG_ID, self._run_id, task_id, "failed")

        def mend() -> None:
            try:
                self._world.clear(DAG_ID, self._run_id, [task_id], downstream=True)
                self._note(f"{task_id} is cleared again, with what follows")
            except (RestError, OSError) as error:
                self._note(f"clearing {task_id}: {type(error).__name__}")
                self._later(3, mend)

        self._later(3 + 5 * trouble.victim, mend)

    def _clear(self, trouble: Trouble) -> None:
        tasks, running = self._world.tasks(DAG_ID, self._run_id), self._world.running()
        there = [
            (task_id, row)
            for task_id, row in sorted(tasks.items())
            if row["state"] in ("deferred", "success") and task_id != "plan"
        ]
        if not there:
            return
        task_id, row = there[int(trouble.victim * len(there))]
        jobs = [job_id for job_id in self._job_of(task_id, row["try_number"]) if running.get(job_id, 0) > 5]
        self._click("clear", task_id, row, jobs[0] if jobs else None)
        self._world.clear(DAG_ID, self._run_id, [task_id])

    def _click(self, kind: str, task_id: str, row: dict[str, Any], job_id: str | None) -> None:
        # One that the loss of the database has ended beats no more, and still has its triggers for a while.
        triggerer = row["triggerer_id"] if row["beats"] and not self._sick else None
        self._note(f"{kind} {task_id} (try {row['try_number']})")
        self.story.clicks.append(Click(time.time(), task_id, row["try_number"], kind, job_id, triggerer))
