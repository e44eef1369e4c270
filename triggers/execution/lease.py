"""
The lease of a task: which process executes its first try, ahead of Airflow or as its own trigger.

It is an object in the run's folder. Who has it renews it while it is alive, so that others can tell that it is gone.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.store import begun_object
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing

#: Seconds after which who has a lease renews it, and after which nobody believes it any more.
RENEWED, STALE = 5.0, 20.0
#: Seconds within which a renewal is written once its holder has seen that the lease is still its own.
ARRIVED = 5.0
PROCESS = uuid.uuid4().hex  #: this process, among all that execute tasks of a run


@dataclass(frozen=True)
class Lease:
    """Who executes a task, and how far that has come."""

    task_id: str
    index: str | None = (
        None  #: the digest of the plan by which it is executed ahead; None for the task's own trigger
    )
    by: str = field(default_factory=lambda: PROCESS)
    beat: int = 0  #: how often it was renewed
    ended: bool = False
    stopped: bool = False  #: before its end, as nobody wanted it any more
    #: What was begun ahead counts no more; ``ended`` once nobody goes on with it.
    void: bool = False

    @property
    def ahead(self) -> bool:
        """Whether the task is executed ahead of Airflow."""
        return self.index is not None

    def dump(self) -> bytes:
        """Return it as an object of the store."""
        return json.dumps(asdict(self)).encode()


def name_of(key: TaskKey) -> str:
    """Return the name of a task's lease in the run's folder."""
    return begun_object(key.task_id, key.map_index)


async def read_lease(folder: Folder, key: TaskKey) -> Lease | None:
    """Return who executes a task's first try, None where nobody has said so."""
    try:
        data = await folder.read(name_of(key))
    except ObjectMissing:
        return None
    try:
        return Lease(**json.loads(data))
    except (ValueError, TypeError):  # another release's: what it has done ahead is not known
        return Lease(key.task_id, by="another release")


async def write_lease(folder: Folder, key: TaskKey, lease: Lease, *, only_new: bool = False) -> None:
    """
    Take or renew a lease.

    Args:
        folder: The run's folder.
        key: The task.
        lease: What to write.
        only_new: Whether nobody else may have it.

    Raises:
        ObjectThere: Somebody has it, and it was to be new.
    """
    await folder.write(name_of(key), lease.dump(), only_new=only_new)
