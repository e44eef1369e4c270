"""
Every way in which a task can end or be interrupted, one after the other, on a real Airflow.

What ends a task ends its BigQuery job within seconds; what only interrupts it leaves the job alone, and it is adopted.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_async.plan.ids import TaskKey
from cosmos_async.triggers.jobs.steps import id_of
from tests.airflow.processes import TimedOut
from tests.airflow.rest import RestError
from tests.chaos.owners import has_a_twin, is_made_again
from tests.chaos.plans import Node, many_slow_nodes, plan_of, slow_node
from tests.chaos.story import WARM
from tests.chaos.takeovers import starts_in, takeovers_of
from tests.chaos.world import TRIGGERERS, World

SLOW, LASTING = slow_node(), Node("lasting", "table", (), (40,))
AFTER_TAKEOVER = 2.0  # seconds, the median
WITHIN = 20.0  # seconds from the end of a task to that of its job; usually it is two


@dataclass
class Ending:
    """What came of one way."""

    name: str
    well: bool
    text: str
    seconds: float | None = (
        None  #: from the click to the job's cancel, or from the interruption to the task's end
    )


def job_id(world: World, dag_id: str, run_id: str, node: Node, try_number: int = 1) -> str:
    """Return the id of a node's own job, of a run that has been planned."""
    nonce = world.nonce(dag_id, run_id)
    return id_of(TaskKey(dag_id, run_id, node.name, -1, try_number, nonce=nonce), plan_of(node), 2)


class Play:
    """One run of a small DAG, at the moment when both of its jobs run."""

    def __init__(self, world: World, dag_id: str, run_id: str) -> None:
        self.world, self.dag_id, self.run_id = world, dag_id, run_id
        world.wait("the run is accepted", lambda: world.trigger(dag_id, run_id) or True, 60)
        world.wait("the run is being planned", lambda: world.nonce(dag_id, run_id), 120)
        self.slow, self.lasting = (job_id(world, dag_id, run_id, node) for node in (SLOW, LASTING))
        world.wait("both jobs run", lambda: {self.slow, self.lasting} <= set(world.running()), 120)

    def job(self, one: str) -> dict[str, Any]:
        """Return what the stand-in knows of a job."""
        return next(job for job in self.world.report()["jobs"] if job["id"] == one)

    def submitted(self, node: Node) -> list[dict[str, Any]]:
        """Return all jobs of a node in this run, whatever its try."""
        known = {job_id(self.world, self.dag_id, self.run_id, node, number) for number in range(1, 9)}
        return [job for job in self.world.report()["jobs"] if job["id"] in known]

    def state(self, node: Node) -> str | None:
        """Return a task's state."""
        return self.world.tasks(self.dag_id, self.run_id).get(node.name, {}).get("state")

    def leave(self) -> None:
        """End what still runs of it."""
        if self.world.run_state(self.dag_id, self.run_id) in ("running", "queued"):
            # Perhaps the api-server is only just coming back.
            self.world.wait(
                "the run is stopped",
                lambda: self.world.mark_run(self.dag_id, self.run_id, "failed") or True,
                120,
            )
        self.world.wait("its jobs have ended", lambda: not self.world.running(), 60)


def ends(
    world: World, name: str, dag_id: str, act: Callable[[Play], None], *, patience: float = 0.0
) -> Ending:
    """Let a task end by *act*, and see how soon its job does; *patience* is how long Airflow itself takes."""
    play = Play(world, dag_id, name.replace(" ", "-"))
    began = time.time()
    act(play)
    try:
        world.wait(f"{name}: the job has ended", lambda: play.slow not in world.running(), WITHIN + patience)
    except TimedOut as error:
        play.leave()
        return Ending(name, False, str(error))
    job = play.job(play.slow)
    seconds = job["ended"] - began
    stopped = job["error"] == "stopped"
    states = (play.state(SLOW), play.state(LASTING))
    play.leave()
    return Ending(
        name, stopped, f"its job ended ({job['error']}) after {seconds:.1f} s; tasks: {states}", seconds
    )


def goes_on(world: World, name: str, act: Callable[[Play], None]) -> Ending:
    """Interrupt everything by *act*: the job of forty seconds goes on, is adopted and ends its task well."""
    play = Play(world, "ending", name.replace(" ", "-"))
    began = time.time()
    act(play)
    try:
        world.wait(f"{name}: the task has ended", lambda: play.state(LASTING) in ("success", "failed"), 240)
    except TimedOut as error:
        play.leave()
        return Ending(name, False, str(error))
    seconds = time.time() - began
    jobs, state = play.submitted(LASTING), play.state(LASTING)
    still = play.slow in world.running()
    late = seconds - (jobs[0]["ended"] - began)
    play.leave()
    well = state == "success" and len(jobs) == 1 and jobs[0]["error"] is None and still
    return Ending(
        name,
        well,
        f"{state} with {len(jobs)} job, known {late:.1f} s after its end; the other still runs: {still}",
        late,
    )


def is_taken_over(world: World, name: str) -> Ending:
    """End one of two triggerers while both have tasks: how soon do these go on, once Airflow starts them elsewhere?"""
    dag_id, run_id = "ending_takeover", name.replace(" ", "-")
    world.wait("the run is accepted", lambda: world.trigger(dag_id, run_id) or True, 60)
    world.wait("the run is being planned", lambda: world.nonce(dag_id, run_id), 120)
    jobs = {job_id(world, dag_id, run_id, node): node.name for node in many_slow_nodes()}
    world.wait("all jobs run", lambda: set(jobs) <= set(world.running()), 180)
    time.sleep(WARM)
    victim = TRIGGERERS[0]
    world.down.add(victim)
    world.signal(victim, signal.SIGTERM, tree=False)
    began = time.time()

    def adopted() -> dict[str, float]:
        requests = [made for made in world.report()["requests"] if made["operation"] == "jobs.insert"]
        # The first of each: later ones repeat an answer that was lost.
        return {
            jobs[made["id"]]: made["at"]
            for made in reversed(requests)
            if made["id"] in jobs and made["at"] > began
        }

    try:
        world.wait(
            "one triggerer has all tasks",
            lambda: len({row["triggerer_id"] for row in world.tasks(dag_id, run_id).values()} - {None}) == 1,
            90,
        )
        taken = {one.task_id: one for one in takeovers_of(list(starts_in(world.folder / "logs")), run_id)}
        world.wait("all of them go on", lambda: set(taken) <= set(adopted()), 60)
        seconds = [adopted()[task_id] - one.at for task_id, one in taken.items()]
        well = bool(seconds) and statistics.median(seconds) <= AFTER_TAKEOVER
        text = (
            f"{len(seconds)} tasks went on {statistics.median(seconds):.1f} s (max {max(seconds):.1f}) after Airflow "
            "had started them again"
            if seconds
            else "the triggerer that was ended had no task"
        )
    except TimedOut as error:
        well, text = False, str(error)
    world.down.discard(victim)
    world.mark_run(dag_id, run_id, "failed")
    world.wait("their jobs have ended", lambda: not world.running(), 90)
    return Ending(name, well, text)


def is_its_own(name: str, way: Callable[[str], str]) -> Ending:
    """Play two runs of one name; see :mod:`tests.chaos.owners`."""
    wrong = way(name.replace(" ", "-"))
    return Ending(name, not wrong, wrong or "each run had jobs of its own, and ended no other's")


def play_endings(world: World, names: Sequence[str] = ()) -> list[Ending]:
    """Play all of them, or those of these names."""

    def both(number: int, *, tree: bool = False, down: float = 3.0) -> Callable[[Play], None]:
        def act(play: Play) -> None:
            world.down.update(TRIGGERERS)
            for name in TRIGGERERS:
                world.signal(name, number, tree=tree)
            time.sleep(down)
            world.down.difference_update(TRIGGERERS)

        return act

    def freeze(play: Play) -> None:
        holder = world.tasks(play.dag_id, play.run_id)[LASTING.name]["triggerer_id"]
        for name in TRIGGERERS:
            world.signal(name, signal.SIGSTOP, tree=True)
            time.sleep(38)
            world.signal(name, signal.SIGCONT, tree=True)
            if world.tasks(play.dag_id, play.run_id)[LASTING.name]["triggerer_id"] != holder:
                return

    def no_database(play: Play) -> None:
        world.postgres.stop()
        time.sleep(45)
        world.postgres.start()

    def no_api_server(play: Play) -> None:
        world.down.add("api-server")
        world.signal("api-server", signal.SIGTERM, tree=True)
        time.sleep(25)
        world.down.discard("api-server")

    def delete(play: Play) -> None:
        # Airflow 3 deletes only what has ended; the triggerer then finds no task to ask about.
        world.mark_run(play.dag_id, play.run_id, "failed")
        world.delete_run(play.dag_id, play.run_id)

    def marking(state: str) -> Callable[[Play], None]:
        return lambda play: world.mark(play.dag_id, play.run_id, SLOW.name, state)

    def clear(play: Play) -> None:
        world.clear(play.dag_id, play.run_id, [SLOW.name])

    def mark_run(play: Play) -> None:
        world.mark_run(play.dag_id, play.run_id, "failed")

    def wait(play: Play) -> None:
        """Airflow ends it by itself."""

    ways: list[tuple[str, Callable[[str], Ending]]] = [
        ("marked failed", lambda name: ends(world, name, "ending", marking("failed"))),
        ("marked success", lambda name: ends(world, name, "ending", marking("success"))),
        ("cleared", lambda name: ends(world, name, "ending", clear)),
        ("run marked failed", lambda name: ends(world, name, "ending", mark_run)),
        ("run deleted", lambda name: ends(world, name, "ending", delete)),
        ("dagrun_timeout", lambda name: ends(world, name, "ending_dagrun_timeout", wait, patience=40)),
        ("execution_timeout", lambda name: ends(world, name, "ending_execution_timeout", wait, patience=40)),
        ("SIGTERM of both triggerers", lambda name: goes_on(world, name, both(signal.SIGTERM))),
        ("SIGKILL of both triggerers", lambda name: goes_on(world, name, both(signal.SIGKILL))),
        ("SIGKILL of both machines", lambda name: goes_on(world, name, both(signal.SIGKILL, tree=True))),
        ("a takeover by a busy triggerer", lambda name: is_taken_over(world, name)),
        ("a frozen triggerer and a takeover", lambda name: goes_on(world, name, freeze)),
        ("no database for 45 s", lambda name: goes_on(world, name, no_database)),
        ("run made again", lambda name: is_its_own(name, lambda run_id: is_made_again(world, run_id))),
        ("run in two Airflows", lambda name: is_its_own(name, lambda run_id: has_a_twin(world, run_id))),
        ("no api-server for 25 s", lambda name: goes_on(world, name, no_api_server)),
    ]
    found = []
    for name, way in ways:
        if names and name not in names:
            continue
        ending = _played(name, way)
        world.say(f"chaos: {'ok' if ending.well else 'BAD'}  {ending.name}: {ending.text}")
        found.append(ending)
    return found


def _played(name: str, way: Callable[[str], Ending]) -> Ending:
    try:
        return way(name)
    except (TimedOut, RestError, OSError) as error:
        return Ending(name, False, str(error))
