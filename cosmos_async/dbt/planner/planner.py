"""
From what the recorder saw to the plan of a run.

Pure: a recording in, a plan out, nothing but the vocabulary of :mod:`cosmos_async.plan.model` in between. Nothing is left out
silently: what cannot be expressed is real dbt's, with the reason, and a run that cannot be planned at all is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cosmos_async._version import __version__
from cosmos_async.constants import BUILT_RESOURCES
from cosmos_async.dbt.planner.batches import make_batches
from cosmos_async.dbt.planner.guards import READS
from cosmos_async.dbt.planner.operations import NotStatic
from cosmos_async.dbt.planner.prelude import create_schemas, hook_steps
from cosmos_async.dbt.planner.steps import Steps
from cosmos_async.exceptions import PlanError
from cosmos_async.plan.model import (
    Batch,
    Hook,
    Index,
    IndexEntry,
    JobOperation,
    Json,
    Level,
    NodePlan,
    RunInfo,
    Step,
    TestRule,
)
from cosmos_async.plan.ownership import Lineage, unit_test_owner

RECORDING = 1  # the recorder's format that is read here
RUN = ""  # whom the recorder calls the run itself

# dbt's words for nodes that went well while they were recorded.
_PLANNED = frozenset(("success", "pass", "warn", "fail"))
_NO_OP = "no-op"
# dbt only passes these by, and says so in its results; there is nothing to execute.
_PASSED_BY = frozenset(("exposure", "saved_query", "metric", "semantic_model"))
_BUILT = frozenset(kind.value for kind in BUILT_RESOURCES)


@dataclass(frozen=True)
class Plan:
    """A run's plan before it is stored."""

    run: RunInfo
    nodes: dict[str, NodePlan]
    owners: dict[str, str]  #: the node whose test task executes a test, by test
    prelude: tuple[Step, ...]
    uploads: dict[str, Path]  #: the bytes of load jobs: files by their SHA-256
    hooks: tuple[Hook, ...] = ()  #: of the prelude
    parsed: Path | None = None  #: the parsed project, whose SHA-256 the run tells

    def index(self) -> Index:
        """Return the index, but for where the node plans are stored, see :func:`cosmos_async.plan.node_plans.pack`."""
        entries = {
            unique_id: IndexEntry(
                name=plan.name,
                resource_type=plan.resource_type,
                level=plan.level,
                reason=plan.reason,
                owner=self.owners.get(unique_id),
                fqn=plan.fqn,
                relation=plan.relation if plan.resource_type in _BUILT else None,
                assumed=plan.assumed,
            )
            for unique_id, plan in self.nodes.items()
        }
        return Index(run=self.run, nodes=entries, prelude=self.prelude, hooks=self.hooks)

    def levels(self) -> dict[Level, int]:
        """Return how many nodes are at which level."""
        counts = dict.fromkeys(Level, 0)
        for plan in self.nodes.values():
            counts[plan.level] += 1
        return counts


def make_plan(
    recording: Json,
    *,
    dag_id: str,
    run_id: str,
    created_at: str,
    host: str,
    uploads: Path,
    owned: bool = True,
    detach: bool = False,
) -> Plan:
    """
    Return the plan of a run.

    Args:
        recording: What the recorder wrote.
        dag_id: The DAG.
        run_id: The DAG run.
        created_at: UTC, ISO 8601.
        host: This machine.
        uploads: The folder the recorder kept the bytes of load jobs in: ``uploads`` beside the recording.
        owned: Whether tests belong to tasks of nodes. Where all tests are one task behind all nodes they do not.
        detach: Whether tests with several parents have tasks of their own.

    Raises:
        PlanError: The recording cannot be read, or the run does something before its nodes that cannot be planned.
    """
    _check_format(recording)
    run = RunInfo(
        dag_id=dag_id,
        run_id=run_id,
        created_at=created_at,
        host=host,
        project_name=recording["project_name"],
        target_name=recording["target_name"],
        invocation_id=recording["invocation_id"],
        dbt_version=recording["dbt_version"],
        adapter_version=recording["adapter_version"],
        package_version=__version__,
        endpoint=recording.get("endpoint"),
        fail_fast=recording["fail_fast"],
        threads=recording.get("threads", 0),
        full_refresh=bool(recording.get("full_refresh")),
    )
    _refuse_ephemeral_writes(recording)
    schemas = _schemas(recording)
    prelude, hooks = _prelude(recording, schemas)
    nodes = _nodes(recording, schemas)
    return Plan(
        run=replace(run, projects=projects_of(nodes)),
        nodes=nodes,
        owners=_owners(recording, detach=detach) if owned else {},
        prelude=prelude,
        hooks=hooks,
        uploads=_uploads(nodes, uploads),
    )


def projects_of(nodes: Mapping[str, NodePlan]) -> tuple[str, ...]:
    """Return the projects in which jobs of these plans run."""
    return tuple(
        sorted(
            {
                step.project
                for plan in nodes.values()
                for steps in (plan.steps, *(batch.steps for batch in plan.batches))
                for step in steps
                if isinstance(step, JobOperation)
            }
        )
    )


def plan_nodes(recording: Json, *, uploads: Path) -> tuple[dict[str, NodePlan], dict[str, Path]]:
    """
    Return the plans of nodes that were recorded apart from their run, at their turn, and the bytes of their load jobs.

    Args:
        recording: What the recorder wrote.
        uploads: As for :func:`make_plan`.

    Raises:
        PlanError: The recording cannot be read.
    """
    _check_format(recording)
    nodes = _nodes(recording, _schemas(recording), at_turn=True)
    return nodes, _uploads(nodes, uploads)


def _check_format(recording: Json) -> None:
    if recording.get("format") != RECORDING:
        raise PlanError(
            f"dbt was recorded in format {recording.get('format')!r}, and format {RECORDING} is read here. The recorder "
            "belongs to another version of cosmos-async than this worker runs: install one version only."
        )


def _nodes(
    recording: Json, schemas: Mapping[str, tuple[Step, ...]], *, at_turn: bool = False
) -> dict[str, NodePlan]:
    return {
        unique_id: _node(recording, node, schemas, at_turn=at_turn)
        for unique_id, node in sorted(recording["nodes"].items())
        if not node["ephemeral"] and node["resource_type"] not in _PASSED_BY
    }


def _uploads(nodes: Mapping[str, NodePlan], folder: Path) -> dict[str, Path]:
    digests = {
        step.upload_digest for plan in nodes.values() for step in plan.steps if hasattr(step, "upload_digest")
    }
    return {digest: folder / digest for digest in sorted(filter(None, digests))}


def _refuse_ephemeral_writes(recording: Json) -> None:
    ephemeral = {unique_id for unique_id, node in recording["nodes"].items() if node["ephemeral"]}
    for unique_id in sorted(ephemeral | recording.get("ephemerals", {}).keys()):
        if any(event["event"] not in READS for event in recording["events"].get(unique_id, [])):
            raise PlanError(
                f"{unique_id} is ephemeral and may change something in BigQuery while it is compiled, by run_query or statement. "
                "dbt does so once in a run, and no task would be the one to do it. Let it be a hook of a model that reads it, or "
                "an on-run-start hook."
            )


def _schemas(recording: Json) -> dict[str, tuple[Step, ...]]:
    if RUN in recording["flags"]:
        raise PlanError(
            f"Before its first node this run does something that cannot be planned: {recording['flags'][RUN]}"
        )
    try:
        return create_schemas(recording["events"].get(RUN, []))
    except NotStatic as error:
        raise PlanError(f"The datasets this run creates cannot be planned: {error}") from error


def _prelude(
    recording: Json, schemas: Mapping[str, tuple[Step, ...]]
) -> tuple[tuple[Step, ...], tuple[Hook, ...]]:
    # As in dbt, all datasets are made before anything else: also that of a node which is skipped then, such as the audit
    # dataset of tests below a model that fails. Hooks come after them, as they may write there.
    steps: list[Step] = [step for created in schemas.values() for step in created]
    hooks: list[Hook] = []
    needed = bool(recording.get("hooks_needed"))
    for position, hook in enumerate(recording["run"]["on_run_start"]):
        why = hook["error"] or recording["flags"].get(hook["unique_id"])
        try:
            if why:
                raise NotStatic(why)
            own = hook_steps(recording, hook["unique_id"], f"on_run_start:{position}")
        except NotStatic as error:
            raise PlanError(
                f"The on-run-start hook {hook['name']} ({hook['file']}) cannot be planned: {error} Let it only send "
                "statements that do not depend on what hooks have written before, or run it in a task of its own before "
                "this DAG's setup (`dbt run-operation`)."
            ) from error
        begin = len(steps)
        steps += own
        compiled = hook.get("compiled_code")
        hooks.append(Hook(hook["unique_id"], hook["name"], begin, len(steps), needed, compiled))
    return tuple(steps), tuple(hooks)


def _node(recording: Json, node: Json, schemas: Mapping[str, tuple[Step, ...]], *, at_turn: bool) -> NodePlan:
    unique_id = node["unique_id"]
    steps: tuple[Step, ...] = ()
    batches: tuple[Batch, ...] = ()
    reason, level = _why_not_planned(recording, node)
    message = None
    if not reason:
        try:
            if recording.get("batches", {}).get(unique_id):
                several = make_batches(recording, node, schemas, at_turn=at_turn)
                batches, level, reason = several.batches, several.level, several.reason
            else:
                made = Steps(recording, node, schemas, at_turn=at_turn).make()
                steps, level, reason = made.steps, made.level, made.reason
            # A seed's message, for one, does not come from its jobs.
            message = None if node["main_job"] else node["message"]
        except NotStatic as error:
            level, reason = Level.DBT, str(error)
    return NodePlan(
        unique_id=unique_id,
        name=node["name"],
        resource_type=node["resource_type"],
        level=level,
        reason=reason,
        materialized=node["materialized"],
        relation=".".join(node["relation"]) if node["relation"] else None,
        fqn=tuple(node["fqn"]),
        file=node["file"],
        compiled_code=node["compiled_code"],
        steps=steps,
        test=_rule(recording, node),
        message=message,
        response=None if message is None else node.get("adapter_response"),
        batches=batches,
    )


def was_planned(node: Json) -> bool:
    """Return whether dbt came to the end of a node while it was recorded."""
    return node["status"] in _PLANNED or node["status"] == _NO_OP


def _why_not_planned(recording: Json, node: Json) -> tuple[str, Level]:
    """Return why a node has no steps, and who plans or runs it later; an empty reason if it has some."""
    unique_id = node["unique_id"]
    flag = recording["flags"].get(unique_id)
    if flag:
        return str(flag), Level.LATE if unique_id in recording.get("late", ()) else Level.DBT
    if was_planned(node):
        return "", Level.STATIC
    status = node["status"]
    said = (node["message"] or "").strip()
    return f"dbt could not plan it (status {status})" + (f": {said}" if said else "."), Level.DBT


def _rule(recording: Json, node: Json) -> TestRule | None:
    config = node.get("test")
    if config is None:
        return None
    return TestRule(
        severity=config["severity"].upper(),
        warn_if=config["warn_if"],
        error_if=config["error_if"],
        warn_error=recording["warn_error"],
    )


def _owners(recording: Json, *, detach: bool) -> dict[str, str]:
    nodes = recording["nodes"]
    built = {unique_id for unique_id, node in nodes.items() if node["resource_type"] in _BUILT}
    # The whole project, selected or not, as the DAG was rendered; see cosmos_async.graph.manifest.
    lineage = Lineage(recording["run"]["parents"], built)
    owners = {}
    for unique_id, node in nodes.items():
        owner = None
        if node["resource_type"] == "test":
            owner = lineage.place(unique_id, node["depends_on"]).owner_of(unique_id, detach=detach)
        elif node["resource_type"] == "unit_test":
            owner = unit_test_owner(node["depends_on"], built)
        if owner is not None:
            owners[unique_id] = owner
    return owners
