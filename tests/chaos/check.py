"""
What must hold after every seed, whatever happened: what Airflow says, what BigQuery did and what is stored agree.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_async.plan.ids import TaskKey, attempt_id
from cosmos_async.plan.model import JobOperation
from cosmos_async.triggers.google.retry import JOBS
from cosmos_async.triggers.jobs.steps import id_of
from tests.chaos.plans import Node, plan_of
from tests.chaos.story import DAG_ID, WARM, Click, Story, Takeover
from tests.chaos.takeovers import Start

#: How long after a click a job may go on at most, seconds.
PATIENCE = 30.0
#: How long Airflow may take to tell a trigger of a click; a triggerer lost meanwhile may not have heard of it.
REACTION = 10.0

Json = dict[str, Any]


@dataclass
class Verdict:
    """What came of a seed; everything but the measurements must be empty."""

    seed: int
    nodes: int
    seconds: float = 0.0
    tries: int = 0
    jobs: int = 0
    requests: int = 0
    clicks: int = 0
    deaths: int = 0
    duplicates: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)  #: went on too, but a triggerer was away at the click
    lost_outcomes: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)  #: seconds from a click to its cancel
    resumptions: list[float] = field(default_factory=list)  #: seconds from Airflow's takeover to ours
    cold_resumptions: list[float] = field(
        default_factory=list
    )  #: the same of one that had no triggers before
    adopted: int = 0  #: jobs that were met again

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.duplicates or self.orphans or self.lost_outcomes or self.disagreements)

    @property
    def cancel_median(self) -> float | None:
        """The median time from click to cancel."""
        return statistics.median(self.cancels) if self.cancels else None


class Ids:
    """
    Which job belongs to which statement of which task's which try.

    Args:
        run_id: The run.
        nodes: The project.
        nonce: Returns what tells the planned run from others, nothing before it is planned.
    """

    def __init__(self, run_id: str, nodes: list[Node], nonce: Callable[[], str] = lambda: "") -> None:
        self._run_id = run_id
        self._nonce = nonce
        self._known = ""
        self._plans = {node.name: plan_of(node) for node in nodes}

    def positions(self, name: str) -> list[int]:
        """Return the positions of a node's own statements."""
        return [
            position
            for position, step in enumerate(self._plans[name].steps)
            if isinstance(step, JobOperation) and step.shared is None
        ]

    def of(self, name: str, try_number: int, position: int) -> list[str]:
        """Return the ids under which one statement may be submitted at one try."""
        self._known = self._known or self._nonce()
        keys = [TaskKey(DAG_ID, self._run_id, name, -1, try_number, nonce=self._known)]
        if try_number == 1:
            keys.append(replace(keys[0], ahead=True))  # which the first try goes on with, or leaves
        return [
            attempt_id(id_of(key, self._plans[name], position), attempt)
            for key in keys
            for attempt in range(1, JOBS.attempts + 1)
        ]

    def of_try(self, name: str, try_number: int) -> list[str]:
        """Return the ids of all statements of a try."""
        if name not in self._plans:
            return []
        return [each for position in self.positions(name) for each in self.of(name, try_number, position)]


def check(
    verdict: Verdict,
    *,
    nodes: list[Node],
    ahead: bool = False,
    ids: Ids,
    tasks: dict[str, Json],
    report: Json,
    outcomes: dict[str, Json],
    story: Story,
    starts: list[Start],
    takeovers: list[Takeover],
) -> Verdict:
    """
    Compare what Airflow, BigQuery and the store say, and note what does not fit.

    Args:
        verdict: What to note it in.
        nodes: The project.
        ahead: Whether first tries begin ahead of Airflow, which may never come to them.
        ids: Which job belongs to what.
        tasks: The task instances at the end.
        report: The stand-in's jobs and requests, those of this run only.
        outcomes: The store's outcomes by unique id.
        story: What the monkey did.
        starts: When the run's triggers began, in which triggerers.
        takeovers: When Airflow gave a trigger to another triggerer.
    """
    jobs = {job["id"]: job for job in report["jobs"]}
    verdict.jobs, verdict.requests = len(jobs), len(report["requests"])
    verdict.clicks, verdict.deaths = len(story.clicks), len(story.deaths)
    known: set[str] = set()
    twice = _below_cleared(nodes, tasks) if ahead else set()
    stopped = {(click.task_id, click.try_number) for click in story.clicks}
    for node in nodes:
        last = max(tasks[node.name]["try_number"], 1 if ahead else 0)
        most = 2 if node.name in twice else 1
        verdict.tries += last
        # One beyond the last: a try that Airflow does not know of would be a duplicate.
        for number in range(1, last + 2):
            ended_well = number == last and tasks[node.name]["state"] == "success"
            for position in ids.positions(node.name):
                made = [jobs[each] for each in ids.of(node.name, number, position) if each in jobs]
                known.update(job["id"] for job in made)
                well = [job for job in made if job["state"] == "DONE" and job["error"] is None]
                what = f"{node.name} statement {position} try {number}"
                if len(well) > (most if number == 1 else 1) or (number > last and made):
                    verdict.duplicates.append(f"{what}: {[job['id'] for job in made]}")
                if ended_well and not 1 <= len(well) <= (most if number == 1 else 1):
                    verdict.disagreements.append(f"{what}: the task succeeded, its jobs: {made}")
        _judge_state(verdict, node, tasks[node.name], stopped)
        _judge_outcome(verdict, node, tasks[node.name], outcomes)
    _judge_text(verdict, jobs, known, tasks, twice)
    _judge_order(verdict, nodes, ids, jobs, tasks)
    _judge_clicks(verdict, story, jobs, report, starts)
    _judge_takeovers(verdict, takeovers, ids, report, story)
    for job in jobs.values():
        if job["state"] != "DONE":
            verdict.orphans.append(f"{job['id']} is still {job['state']}")
    verdict.adopted = sum(
        1 for made in report["requests"] if made["operation"] == "jobs.insert" and made["status"] == 409
    )
    return verdict


def _judge_state(verdict: Verdict, node: Node, task: Json, stopped: set[tuple[str, int]]) -> None:
    state = task["state"]
    if state == "failed" and (node.name, task["try_number"]) not in stopped:
        verdict.disagreements.append(
            f"{node.name} failed at try {task['try_number']}, and nobody wanted that"
        )
    if state not in ("success", "failed", "upstream_failed"):
        verdict.disagreements.append(f"{node.name} is {state} at the end")


def _judge_outcome(verdict: Verdict, node: Node, task: Json, outcomes: dict[str, Json]) -> None:
    if task["state"] != "success":
        return
    outcome = outcomes.get(node.unique_id)
    if outcome is None:
        verdict.lost_outcomes.append(node.name)
    elif outcome["try_number"] != task["try_number"] or outcome["status"] not in ("success", "pass"):
        verdict.disagreements.append(
            f"{node.name} succeeded at try {task['try_number']}, its outcome: {outcome['status']} at try "
            f"{outcome['try_number']}"
        )


def _judge_order(
    verdict: Verdict, nodes: list[Node], ids: Ids, jobs: dict[str, Json], tasks: dict[str, Json]
) -> None:
    """No statement is sent before those of all parents have succeeded at least once."""

    def last(name: str) -> int:
        return ids.positions(name)[-1]

    def ended(name: str) -> float | None:
        tries = range(1, max(1, tasks[name]["try_number"]) + 1)
        made = (jobs.get(each) for number in tries for each in ids.of(name, number, last(name)))
        well = [job["ended"] for job in made if job and job["ended"] and job["error"] is None]
        return min(well, default=None)

    for node in nodes:
        tries = range(1, max(1, tasks[node.name]["try_number"]) + 1)
        begun = [
            jobs[each]["created"]
            for number in tries
            for position in ids.positions(node.name)
            for each in ids.of(node.name, number, position)
            if each in jobs
        ]
        for parent in node.parents if begun else ():
            at = ended(parent)
            if at is None or at > min(begun):
                verdict.disagreements.append(f"{node.name} began before {parent} had succeeded")


def _below_cleared(nodes: list[Node], tasks: dict[str, Json]) -> set[str]:
    """Return the nodes below one that was cleared: what was done ahead for them counts no more, and is done once more."""
    cleared: set[str] = {node.name for node in nodes if tasks[node.name]["try_number"] > 1}
    below: set[str] = set()
    for node in nodes:  # parents come first
        if any(parent in cleared or parent in below for parent in node.parents):
            below.add(node.name)
    return below


def _judge_text(
    verdict: Verdict, jobs: dict[str, Json], known: set[str], tasks: dict[str, Json], twice: set[str]
) -> None:
    """Whatever its id: no statement ran more often than its task was tried, and hooks once per plan."""
    often: dict[str, int] = defaultdict(int)
    for job in jobs.values():
        mark = re.search(r"/\* (node:\w+ step:\d+|hook) \*/", job["sql"])
        if mark and job["error"] is None:
            often[mark.group(1)] += 1
        if mark and mark.group(1) != "hook" and job["id"] not in known:
            verdict.duplicates.append(f"{job['id']} belongs to no try that Airflow knows")
    for mark, count in often.items():
        task = "plan" if mark == "hook" else mark.split()[0].partition(":")[2]
        if count > max(1, tasks[task]["try_number"]) + (task in twice):
            verdict.duplicates.append(f"{mark} ran {count} times in {tasks[task]['try_number']} tries")


def _judge_clicks(
    verdict: Verdict, story: Story, jobs: dict[str, Json], report: Json, starts: list[Start]
) -> None:
    cancels: dict[str, list[float]] = defaultdict(list)
    inserts: dict[str, list[float]] = defaultdict(list)
    for made in report["requests"]:
        if made["operation"] == "jobs.cancel":
            cancels[made["id"]].append(made["at"])
        elif made["operation"] == "jobs.insert":
            inserts[made["id"]].append(made["at"])
    for click in story.clicks:
        if click.job_id is None:
            continue
        job = jobs[click.job_id]
        after = [at - click.at for at in cancels[click.job_id] if at >= click.at]
        watched = _had_resumed(click, starts, inserts) and not story.lost_between(
            click.at, click.at + REACTION
        )
        if after and watched:
            verdict.cancels.append(min(after))
        lasted = (job["ended"] or float("inf")) - click.at
        if lasted > PATIENCE:
            # Nobody was there who could have cancelled it: BigQuery ends it, at the task's execution_timeout.
            where = verdict.orphans if watched else verdict.unwatched
            where.append(f"{job['id']} went on for {lasted:.0f} s after {click.kind}")


def _had_resumed(click: Click, starts: list[Start], inserts: dict[str, list[float]]) -> bool:
    """Return whether the triggerer that had the task had also come to its job, anew or again."""
    began = [
        start.at
        for start in starts
        if (start.task_id, start.try_number, start.triggerer)
        == (click.task_id, click.try_number, click.triggerer)
    ]
    return any(began and min(began) <= at <= click.at for at in inserts[click.job_id or ""])


def _judge_takeovers(
    verdict: Verdict, takeovers: list[Takeover], ids: Ids, report: Json, story: Story
) -> None:
    inserts: dict[str, list[float]] = defaultdict(list)
    for made in report["requests"]:
        if made["operation"] == "jobs.insert":
            inserts[made["id"]].append(made["at"])
    for one in takeovers:
        mine = [at for each in ids.of_try(one.task_id, one.try_number) for at in inserts[each] if at > one.at]
        # Where the new one was lost as well, its successor's time is another takeover's.
        if mine and not story.lost_between(one.at, min(mine)):
            seconds = min(mine) - one.at
            (verdict.resumptions if one.age > WARM else verdict.cold_resumptions).append(seconds)
