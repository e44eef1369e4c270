"""
Where a run's plan and outcomes lie, and in what order they are written.

Pure: addresses only. Reading and writing is :mod:`cosmos_async.triggers.storage.documents`. The order is the invariant: first
the objects (whose names carry their digest), then the index, then the address in the setup task's XCom. What has no
address yet is never read, and a plan made anew never changes one that somebody still reads.

A run's folder belongs to one life of one DAG run: from the moment when Airflow lets it run until it has ended. A run
that is deleted and made again, and one of the same names in another Airflow, have folders of their own.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from cosmos_async.exceptions import PlanDamaged, StoreError
from cosmos_async.plan.ids import TaskKey, digest, object_name

ADDRESS_KEY = "dbt_plan"  # of the setup task's XCom
#: Beside the run's folder, where all lives of the run can see it: the digest of the newest index, written before its
#: address. It only tells that an older one is outdated.
NEWEST_OBJECT = "newest"
INDEXES = "plan/index-"  # how their names begin
#: What tells the planned run from all others, see :class:`cosmos_async.plan.model.RunInfo`.
NONCE_OBJECT = "nonce"


@dataclass(frozen=True)
class PlanAddress:
    """What the setup task's XCom says: small, and free of secrets."""

    folder: str  #: the run's folder: ``gs://bucket/prefix/dag/group/run/life`` or a local path
    index: str  #: SHA-256 of the index' stored bytes
    host: str  #: the machine that wrote it; explains a local folder that another one cannot see
    conn_id: str | None = None  #: the Airflow connection for the store; None means the jobs' own identity

    def to_json(self) -> dict[str, Any]:
        """Return the XCom's value."""
        return asdict(self)

    def artifacts(self) -> PlanAddress:
        """Return the address of what is kept beyond the run's folder, see :func:`artifacts_folder`."""
        # Written on whichever worker runs the results task, so no host is named for it.
        return replace(self, folder=artifacts_folder(self.folder), host="")

    @classmethod
    def from_json(cls, value: Any) -> PlanAddress:
        """
        Read the XCom's value.

        Raises:
            PlanDamaged: It is not an address.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise PlanDamaged(
                f"the setup task's XCom {ADDRESS_KEY!r} is not a plan's address: {value!r}. Clear the setup task."
            ) from error


def new_nonce() -> str:
    """Return what no other planned run has."""
    return secrets.token_hex(16)


def life_of(began: datetime | None) -> str:
    """
    Return the name of one life of a DAG run.

    Args:
        began: When Airflow let the run begin. It stays while tasks of the running run are cleared; a run that has ended and
            is cleared begins anew. None where Airflow does not tell: such a life is never met again.
    """
    if began is None:
        return new_nonce()[:16]
    aware = began if began.tzinfo else began.replace(tzinfo=timezone.utc)
    return digest(aware.astimezone(timezone.utc).isoformat(timespec="microseconds"))[:16]


def run_folder(
    base: str, *, dag_id: str, group_id: str | None, run_id: str, life: str, map_index: int = -1
) -> str:
    """
    Return the folder of one run of one DAG or task group below *base*.

    Args:
        base: ``gs://bucket[/prefix]`` or an absolute local path.
        dag_id: The DAG.
        group_id: The task group's id, where the DAG has one per dbt project.
        run_id: The DAG run.
        life: See :func:`life_of`.
        map_index: Which instance of a mapped task group; -1 for one that is not mapped.

    Raises:
        StoreError: *base* is of a kind that is not supported.
    """
    check_base(base)
    return "/".join(
        [
            base.rstrip("/"),
            object_name(dag_id),
            object_name(group_id or "dag"),
            # No object name has a tilde, so no run can be called like an instance of another one.
            object_name(run_id) + (f"~{map_index}" if map_index >= 0 else ""),
            life,
        ]
    )


def above(folder: str) -> str:
    """Return what all lives of a run share, see :func:`run_folder`."""
    return folder.rpartition("/")[0]


def artifacts_folder(folder: str) -> str:
    """
    Return where dbt's artifacts of a run are kept: outside of the run's folder, so that they survive its teardown.

    Args:
        folder: The run's folder, see :func:`run_folder`.
    """
    project, run, _ = folder.rsplit("/", 2)
    return f"{project}/~artifacts/{run}"


def kept_plans(folder: str) -> str:
    """
    Return where the last plan of a DAG or task group is kept for the next run, see :mod:`cosmos_async.plan.kept`.

    Args:
        folder: The folder of one of its runs, see :func:`run_folder`.
    """
    project, _, _ = folder.rsplit("/", 2)
    return f"{project}/~plans"


def kept_plan_object(digest: str) -> str:
    """Return a kept plan's name there."""
    return f"{digest[:32]}.zip"


def kept_seeds(folder: str) -> str:
    """
    Return where it is kept what the seeds of a DAG or task group were loaded from, see :mod:`cosmos_async.plan.seeds`.

    Args:
        folder: The folder of one of its runs, see :func:`run_folder`.
    """
    project, _, _ = folder.rsplit("/", 2)
    return f"{project}/~seeds"


def seed_object(unique_id: str, relation: str) -> str:
    """Return a seed's name there; it may have several tables, as of several targets."""
    return f"{object_name(unique_id)}-{digest(relation)[:16]}.json"


def check_base(base: str) -> None:
    """
    Refuse a place that cannot hold plans.

    Raises:
        StoreError: It is neither ``gs://bucket[/prefix]`` nor an absolute local path.
    """
    scheme, separator, rest = base.partition("://")
    if separator and scheme not in ("gs", "file"):
        raise StoreError(
            f"remote_target_path is {base!r}, but plans can be kept in gs://bucket/prefix or in a local folder only. "
            "Set AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH to a Google Cloud Storage path."
        )
    if separator and scheme == "gs" and not rest.split("/")[0]:
        raise StoreError(f"remote_target_path is {base!r}, which names no bucket. Write gs://bucket/prefix.")
    if not separator and not base.startswith("/"):
        raise StoreError(f"remote_target_path is {base!r}; a local folder must be given as an absolute path.")


def index_object(digest: str) -> str:
    """Return the index' name below the run's folder."""
    return f"{INDEXES}{digest[:16]}.json"


def nodes_object(digest: str) -> str:
    """Return the name of all node plans of one index below the run's folder, see :mod:`cosmos_async.plan.node_plans`."""
    return f"plan/nodes-{digest[:16]}.jsonl"


def late_plan_objects(unique_id: str) -> str:
    """Return how the names begin of a node's plans that were made late, each an object of its own."""
    return f"plan/late/{object_name(unique_id)}-"


def late_plan_object(unique_id: str, digest: str) -> str:
    """Return the name of a node's plan that was made late below the run's folder."""
    return f"{late_plan_objects(unique_id)}{digest[:16]}.json"


def upload_object(digest: str) -> str:
    """Return the name of a load job's bytes below the run's folder."""
    return f"plan/uploads/{digest}"


def parsed_object(digest: str) -> str:
    """Return the name of the parsed project below the run's folder, see ``cosmos_async/dbt/scripts/partial_invocation.py``."""
    return f"dbt/parsed-{digest[:16]}"


def graph_object(digest: str) -> str:
    """Return the name of the graph of the run's tasks below the run's folder, see :mod:`cosmos_async.plan.task_graph`."""
    return f"plan/tasks-{digest[:16]}.json"


#: How the names begin of what tasks tell one another that may begin ahead of Airflow.
BEGUN, SUCCEEDED, AGAIN = "ahead/begun/", "ahead/succeeded/", "ahead/again/"


def begun_object(task_id: str, map_index: int) -> str:
    """Return the name of what says who executes a task's first try, see :mod:`cosmos_async.triggers.execution.run_ahead`."""
    return f"{BEGUN}{digest(task_id, map_index)[:20]}.json"


def succeeded_object(task_id: str, map_index: int) -> str:
    """Return the name of what a task leaves that has succeeded, where other triggerers may have to know."""
    return f"{SUCCEEDED}{digest(task_id, map_index)[:20]}"


def again_object(task_id: str, map_index: int) -> str:
    """Return the name of what a task leaves that begins once more: what was begun below it counts no more."""
    return f"{AGAIN}{digest(task_id, map_index)[:20]}"


def late_objects(key: TaskKey) -> str:
    """
    Return how the names begin of what was planned late for a task's try, see :class:`cosmos_async.plan.waves.Pin`.

    Each object tells the digests of late plans, so that the next try finds the jobs they led to.
    """
    return f"late/{digest(key.dag_id, key.run_id, key.task_id, key.map_index)[:20]}-t{key.try_number}-"


def outcome_object(unique_id: str) -> str:
    """Return the name of a node's outcome below the run's folder."""
    return f"outcomes/{object_name(unique_id)}.json"


def failure_objects(index: str) -> str:
    """Return how the names begin that failed tasks leave, see :mod:`cosmos_async.triggers.execution.fail_fast`."""
    return f"failed/{index[:16]}/"


def failure_object(index: str, key: TaskKey) -> str:
    """Return the name of what one failed task leaves."""
    return f"{failure_objects(index)}{digest(key.task_id, key.map_index)[:20]}.json"


def artifact_object(name: str) -> str:
    """Return the name of one of dbt's own files (manifest.json, ...) below the run's folder."""
    return f"dbt/{object_name(name)}"
