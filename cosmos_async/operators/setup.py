"""
The first task of a run: run the user's dbt once, recording, and upload what it would do.

It reads the warehouse and changes nothing there. What it leaves behind is the run's plan, and its address in XCom.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Union

from cosmos_async import settings
from cosmos_async.airflow.compat import BaseOperator, XComArg
from cosmos_async.airflow.health import executor_of_many_machines, require_triggerer
from cosmos_async.constants import TestBehavior
from cosmos_async.dbt.invocation import TEMPLATED, DbtInvocation
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.assumptions import changing_nodes
from cosmos_async.operators.deferred import warn_of_listeners
from cosmos_async.operators.lineage import lineage_objects
from cosmos_async.operators.priorities import are_bounded, prioritized
from cosmos_async.operators.run_plan import (
    COMPILED_FILE,
    KEPT_KEY,
    airflow_context,
    base_folder,
    folder_of_run,
)
from cosmos_async.operators.task_graph import task_graph
from cosmos_async.operators.task_mapping import is_mapped_with
from cosmos_async.plan.model import Level, dump_index, dump_node
from cosmos_async.plan.node_plans import pack
from cosmos_async.plan.store import (
    ADDRESS_KEY,
    artifact_object,
    graph_object,
    parsed_object,
    upload_object,
)
from cosmos_async.triggers.google.blocking import one_loop, run_until_complete

if TYPE_CHECKING:
    from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
    from cosmos_async.dbt.planner.planner import Plan
    from cosmos_async.dbt.session import Dbt
    from cosmos_async.operators.plan_reuse import PlanReuse
    from cosmos_async.plan.model import Index
    from cosmos_async.plan.store import PlanAddress


class SetupAsyncOperator(BaseOperator):
    """
    Plan a run: record the user's dbt and upload a plan per node.

    Args:
        project_config: The dbt project.
        profile_config: The profile; its mapping's connection is also the one that submits the jobs.
        execution_config: Where dbt lives.
        test_behavior: ``NONE`` leaves tests out of the plan; with ``AFTER_ALL`` none belongs to a node, unit tests included.
        detach_tests: Tests with several parents are tasks of their own.
        seeds_when_changed: Load a seed only where that changes something: its file or configuration, or its table, is another.
        sources: Unique ids of the sources whose freshness is measured.
        max_concurrent_jobs: How many of a run's BigQuery jobs one triggerer runs at once; 0 sets no limit.
        gcp_conn_id: The connection that submits the jobs, if it is not the profile's.
        impersonation_chain: The service account to act as when submitting.
        kwargs: Airflow's own arguments of a task.

    The others, from ``select`` to ``dbt_cmd_global_flags``, are told to dbt; they are explained at
    :class:`~cosmos_async.dbt.invocation.DbtInvocation`, and all but ``append_env`` are templates.
    """

    ui_color = "#ffeb9c"
    # For the UI: what a run made of its templates. `env` may hold secrets and is rendered, but not shown.
    template_fields = tuple(name for name in TEMPLATED if name != "env")

    def __init__(
        self,
        *,
        project_config: ProjectConfig,
        profile_config: ProfileConfig,
        execution_config: ExecutionConfig | None = None,
        test_behavior: TestBehavior = TestBehavior.AFTER_EACH,
        detach_tests: bool = False,
        seeds_when_changed: bool = False,
        sources: Sequence[str] = (),
        max_concurrent_jobs: int = 0,
        gcp_conn_id: str | None = None,
        impersonation_chain: Union[str, list[str], None] = None,
        select: Union[list[str], str, None] = None,
        exclude: Union[list[str], str, None] = None,
        selector: str | None = None,
        vars: Union[dict[str, Any], str, None] = None,
        env: dict[str, str] | None = None,
        append_env: bool = True,
        full_refresh: Union[bool, str] = False,
        fail_fast: Union[bool, str] = False,
        install_deps: Union[bool, str] = True,
        location: str | None = None,
        threads: Union[int, str, None] = None,
        event_time_start: str | None = None,
        event_time_end: str | None = None,
        dbt_cmd_flags: list[str] | None = None,
        dbt_cmd_global_flags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if execution_config is None:
            from cosmos_async.config import ExecutionConfig as Config

            execution_config = Config()
        self.select, self.exclude, self.selector = select, exclude, selector
        self.vars, self.install_deps = vars, install_deps
        self.full_refresh, self.fail_fast = full_refresh, fail_fast
        self.location, self.threads = location, threads
        self.event_time_start, self.event_time_end = event_time_start, event_time_end
        self.dbt_cmd_flags, self.dbt_cmd_global_flags = dbt_cmd_flags, dbt_cmd_global_flags
        self.test_behavior = test_behavior
        self.detach_tests = detach_tests
        self.seeds_when_changed = seeds_when_changed
        self.sources = tuple(sources)
        self.max_concurrent_jobs = max_concurrent_jobs
        self.identity = profile_config.identity(
            gcp_conn_id=gcp_conn_id, impersonation_chain=impersonation_chain
        )
        self.dbt = DbtInvocation(
            project_config=project_config,
            profile_config=profile_config,
            execution_config=execution_config,
            select=select,
            exclude=exclude,
            selector=selector,
            vars=vars,
            env=env,
            append_env=append_env,
            full_refresh=full_refresh,
            fail_fast=fail_fast,
            install_deps=install_deps,
            location=location,
            threads=threads,
            event_time_start=event_time_start,
            event_time_end=event_time_end,
            dbt_cmd_flags=dbt_cmd_flags,
            dbt_cmd_global_flags=dbt_cmd_global_flags,
            exclude_resource_types=("test", "unit_test") if test_behavior is TestBehavior.NONE else (),
        )
        # As for a template field, which `env` is not.
        XComArg.apply_upstream_relationship(self, env)
        self.processes: Any = None

    def execute(self, context: Any) -> None:
        """
        Record, plan, upload, and leave the plan's address in XCom.

        Raises:
            ConfigError: A setting, the profile or the project is wrong, or nothing would execute the plan.
            DbtError: dbt itself refused; its own words are in the message.
            StoreError: The place for plans cannot be used.
        """
        with one_loop():
            self._plan(context)

    def _plan(self, context: Any) -> None:
        from cosmos_async.dbt.process import Processes, to_log
        from cosmos_async.dbt.session import open_dbt
        from cosmos_async.operators.plan_reuse import PlanReuse

        folder, first = self.run_folder(context), context["ti"].try_number <= 1
        require_triggerer()
        warn_of_listeners(self)
        nonce = self.planned_run(folder, first=first)
        own = {
            "nonce": nonce,
            "follows": self._kept(context),
            "ahead": settings.run_ahead(),
            "planned_anew": not first,
            "max_jobs": self.max_concurrent_jobs,
            "seeds_when_changed": self.seeds_when_changed,
        }
        self.processes = Processes(to_log(self.log))
        with open_dbt(
            self.dbt.rendered(self, context),
            self.processes,
            context=airflow_context(context),
            packages=False,
        ) as dbt:
            reuse = PlanReuse(self, context, folder, dbt, first=first)
            changing = partial(changing_nodes, folder, self)
            again = reuse.find(own, changing)
            if again is None:
                dbt.install_packages()
                index, objects = self._record(context, dbt, own, reuse, changing)
            else:
                index, objects = again.index, again.objects
            if settings.run_ahead():
                graph = task_graph(self)
                if are_bounded(self.max_concurrent_jobs):
                    graph = prioritized(graph, index, folder, self)
                data = graph.dump()
                digest = hashlib.sha256(data).hexdigest()
                index = replace(index, run=replace(index.run, tasks=digest))
                objects = {**objects, graph_object(digest): data}
            objects = {**objects, **lineage_objects(self, context, objects)}
            address = self._upload(folder, index, objects)
        self._report(index)
        context["ti"].xcom_push(key=ADDRESS_KEY, value=address.to_json())
        reuse.tell()

    def question(self) -> dict[str, Any]:
        """Return what a plan depends on beside dbt's own arguments; JSON-able."""
        return {
            "test_behavior": self.test_behavior.value,
            "detach_tests": self.detach_tests,
            "sources": self.sources,
            "assume_unchanged": settings.assume_unchanged(),
        }

    def on_kill(self) -> None:
        """End the dbt process."""
        if self.processes is not None:
            self.processes.terminate()

    def run_folder(self, context: Any) -> str:
        """
        Return where this run's plan and outcomes are kept.

        Raises:
            ConfigError: ``remote_target_path`` is not set, and tasks may run on other machines than the triggerer.
            StoreError: ``remote_target_path`` is of a kind that is not supported.
        """
        base = base_folder()
        if settings.remote_target_path() is None:
            executor = executor_of_many_machines()
            if executor is not None:
                raise ConfigError(
                    f"remote_target_path is not set, and with {executor} the triggerer may not see the folder {base} on "
                    f"{socket.gethostname()}, in which the plan would be kept. Set "
                    "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH to gs://bucket/prefix, or to a folder that workers and "
                    "triggerers share."
                )
            self.log.info(
                "remote_target_path is not set, so the plan is kept in %s on %s. This serves an Airflow on one machine; "
                "set AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH to gs://bucket/prefix for any other.",
                base,
                socket.gethostname(),
            )
        return folder_of_run(context, self.task_id, context["ti"].map_index)

    def planned_run(self, folder: str, *, first: bool) -> str:
        """
        Return the nonce of the run that is planned, see :class:`cosmos_async.plan.model.RunInfo`; the first try makes it.

        It is the first that is written, so that a missing bucket is known before dbt has run for minutes.

        Args:
            folder: The run's folder.
            first: Whether this is setup's first try in the DAG run.
        """
        from cosmos_async.plan.store import PlanAddress
        from cosmos_async.triggers.event_loop.gather import both
        from cosmos_async.triggers.storage.documents import nonce_of, write_objects

        address = PlanAddress(folder, index="", host="", conn_id=settings.remote_target_path_conn_id())
        written = write_objects(address, {"README.txt": _README}, identity=self.identity)
        _, nonce = run_until_complete(both(written, nonce_of(address, first=first, identity=self.identity)))
        return nonce

    def _kept(self, context: Any) -> str | None:
        """
        Return the nonce under which this DAG run was planned before it ended, if it was cleared since.

        Airflow keeps the XCom of the results task until that begins once more, and has none of it in a new run.
        """
        from cosmos_async.operators.results import ResultsAsyncOperator

        instance = context["ti"]
        if instance.try_number <= 1:
            return None
        for task in self.dag.tasks:
            if isinstance(task, ResultsAsyncOperator) and task.setup_task_id == self.task_id:
                mapped = is_mapped_with(task, self.task_id)
                kept = instance.xcom_pull(
                    task_ids=task.task_id,
                    key=KEPT_KEY,
                    map_indexes=instance.map_index if mapped else -1,
                )
                if kept is not None:
                    return str(kept)
        return None

    def _record(
        self,
        context: Any,
        dbt: Dbt,
        own: dict[str, Any],
        reuse: PlanReuse,
        changing: Callable[[], Collection[str]],
    ) -> tuple[Index, dict[str, bytes]]:
        """Return the index of a plan that is recorded now, and all its other objects."""
        from cosmos_async.dbt.artifacts import recorded_artifacts
        from cosmos_async.dbt.planner.record import record_plan

        planned = record_plan(
            dbt,
            dag_id=context["ti"].dag_id,
            run_id=context["ti"].run_id,
            owned=self.test_behavior is not TestBehavior.AFTER_ALL,
            detach=self.detach_tests,
            sources=self.sources,
            changing=changing() if settings.assume_unchanged() else None,
        )
        plan = replace(planned.plan, run=replace(planned.plan.run, **own))
        objects, index = stored(plan)
        compiled = {unique_id: node.compiled_code for unique_id, node in plan.nodes.items()}
        compiled.update({hook.unique_id: hook.compiled_code for hook in plan.hooks})
        objects[artifact_object(COMPILED_FILE)] = json.dumps(compiled).encode()
        for name, data in recorded_artifacts(dbt, planned.recording).items():
            objects[artifact_object(name)] = data
        reuse.keep(planned, index, objects)
        return index, objects

    def _upload(self, folder: str, index: Index, objects: dict[str, bytes]) -> PlanAddress:
        from cosmos_async.triggers.storage.documents import upload_plan

        self.log.info("Uploading %d objects to %s", len(objects), folder)
        return run_until_complete(
            upload_plan(
                folder,
                objects=objects,
                index=dump_index(index),
                identity=self.identity,
                conn_id=settings.remote_target_path_conn_id(),
            )
        )

    def _report(self, index: Index) -> None:
        self.log.info(
            "Planned %d nodes; nothing is built yet. A letter says how a node is executed:", len(index.nodes)
        )
        if index.hooks:
            self.log.info("Before all nodes: %s", ", ".join(hook.name for hook in index.hooks))
        for level in reversed(Level):
            nodes = [
                item for item in sorted(index.nodes.items(), key=itemgetter(0)) if item[1].level is level
            ]
            if nodes:
                self.log.info("%s (%s), %d of them: %s", level.value, level.word, len(nodes), _MEANING[level])
            for unique_id, node in nodes:
                self.log.info("%s  %s%s", level.value, unique_id, f"  ({node.reason})" if node.reason else "")


_MEANING = {
    Level.STATIC: "from the triggerer, by the statements that dbt would send",
    Level.GUARDED: "from the triggerer, between checks that what dbt has read is still so",
    Level.NATIVE: "from the triggerer, which also changes what is there by then, as dbt would",
    Level.LATE: "from the triggerer, planned once the nodes before them are built; a worker starts dbt for all whose turn "
    "has come",
    Level.DBT: "real dbt runs them on a worker",
}

_README = (
    b"The plan and the outcomes of one run of a dbt project, written by cosmos-async.\n"
    b"The run's teardown task deletes this folder.\n"
)


def stored(plan: Plan) -> tuple[dict[str, bytes], Index]:
    """Return a plan's objects by their names in the store, and its index."""
    index, objects = pack(
        plan.index(), {unique_id: dump_node(node) for unique_id, node in plan.nodes.items()}
    )
    for digest, path in plan.uploads.items():
        objects[upload_object(digest)] = path.read_bytes()
    if plan.parsed is not None and plan.run.parsed is not None:
        objects[parsed_object(plan.run.parsed)] = plan.parsed.read_bytes()
    return objects, index
