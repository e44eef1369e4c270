"""
Late nodes that are planned together: what their tasks ask for, who plans, and what was planned. Pure.

dbt takes seconds to start, whether it plans one node or fifty. So a task whose nodes are planned late leaves a request in the
run's folder, and of all that wait at one time one task asks for a worker; which one, the claims say. That worker plans the
nodes of all requests in one dbt. Whoever is not served asks for a worker of its own: nothing but time depends on all this.

What a worker has planned for a task's try is pinned, once: whoever comes later, here or there, takes that plan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cosmos_async.plan.ids import TaskKey, digest
from cosmos_async.plan.store import late_objects

_CLAIM = re.compile(r"(\d{5})(?:-(done|failed))?\.json")


def wave_objects(index: str) -> str:
    """
    Return how the names begin of what tasks tell one another about being planned together, below the run's folder.

    Args:
        index: The digest of the run's index; a run that is planned anew begins anew.
    """
    return f"waves/{index[:16]}/"


def request_objects(index: str) -> str:
    """Return how the names of requests begin."""
    return f"{wave_objects(index)}asked/"


@dataclass(frozen=True)
class Request:
    """Late nodes of one task's try whose turn has come; it is removed when it has been dealt with."""

    task_id: str
    map_index: int
    try_number: int
    position: int  #: of their group in the task
    unique_ids: tuple[str, ...]

    def name(self, index: str) -> str:
        """Return its name below the run's folder."""
        task = digest(self.task_id, self.map_index)[:20]
        return f"{request_objects(index)}{task}-t{self.try_number}-{self.position}.json"

    def dump(self) -> bytes:
        """Return what is stored of it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Request:
        """Read what was stored."""
        document = json.loads(data)
        return cls(**{**document, "unique_ids": tuple(document["unique_ids"])})

    def key(self, run: TaskKey) -> TaskKey:
        """Return its task's key, where *run* is that of another task of the run."""
        return TaskKey(run.dag_id, run.run_id, self.task_id, self.map_index, self.try_number)


@dataclass(frozen=True)
class Claim:
    """Who plans, one after the other: claims count from 1, and the newest one holds until it has ended."""

    number: int = 0  #: 0 is none
    end: str = "done"  #: ``done``; ``failed``, where the planner came to no good end; empty while it holds

    @classmethod
    def newest(cls, index: str, names: Iterable[str]) -> Claim:
        """Return the newest claim among objects of the run's folder."""
        start = f"{wave_objects(index)}claims/"
        newest = cls()
        for name in names:
            found = _CLAIM.fullmatch(name[len(start) :]) if name.startswith(start) else None
            # The end of a claim counts, whichever of the two comes first.
            if found is not None and (int(found[1]), found[2] or "") > (newest.number, newest.end):
                newest = cls(int(found[1]), found[2] or "")
        return newest

    @property
    def next(self) -> Claim:
        """The claim after this one."""
        return Claim(self.number + 1, "")

    def ended(self, end: str) -> Claim:
        """Return how it is when it has ended."""
        return Claim(self.number, end)

    def name(self, index: str) -> str:
        """Return the name of what tells of it below the run's folder."""
        end = f"-{self.end}" if self.end else ""
        return f"{wave_objects(index)}claims/{self.number:05d}{end}.json"


@dataclass(frozen=True)
class Owner:
    """The task that has a claim."""

    task_id: str
    map_index: int
    try_number: int

    @classmethod
    def of(cls, key: TaskKey) -> Owner:
        """Return the owner that a task is."""
        return cls(key.task_id, key.map_index, key.try_number)

    def key(self, run: TaskKey) -> TaskKey:
        """Return its key, where *run* is that of another task of the run."""
        return TaskKey(run.dag_id, run.run_id, self.task_id, self.map_index, self.try_number)

    def dump(self) -> bytes:
        """Return what is stored of it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Owner:
        """Read what was stored."""
        return cls(**json.loads(data))


@dataclass(frozen=True)
class Pin:
    """The plans that a worker has made for a group of a task's nodes in one try."""

    plans: Mapping[str, str]  #: their digests, by unique id
    worker: str = ""  #: the task whose worker it was
    together: int = 0  #: how many nodes were planned in that dbt

    def dump(self) -> bytes:
        """Return what is stored of it."""
        return json.dumps(
            {"plans": dict(self.plans), "worker": self.worker, "together": self.together}
        ).encode()

    @classmethod
    def load(cls, data: bytes) -> Pin:
        """Read what was stored; an earlier release stored the digests alone."""
        document: dict[str, Any] = json.loads(data)
        return cls(**document) if isinstance(document.get("plans"), dict) else cls(document)


def pin_object(key: TaskKey, index: str, position: int) -> str:
    """
    Return a pin's name below the run's folder.

    Args:
        key: The task's try.
        index: The digest of the run's index.
        position: Of the group of nodes in their task.
    """
    return f"{late_objects(key)}{index[:16]}-{position}.json"
