"""What is replaced in dbt's tasks: the run around the nodes."""

from __future__ import annotations

import functools
import time
from typing import Any

from ..common import need
from ..partial_invocation import relations_of
from .moments import why_once
from .session import LeftToDbt, Recording


class TaskPatches:
    """Replaces how dbt begins a run, runs its hooks and goes on after a failure."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.journal = recording.journal
        self.overlay = recording.overlay
        self._counted: set[str] = set()
        self._reported = 0.0
        self._lock = recording.lock

    def install(self) -> None:
        """Put everything in place."""
        self._tasks()

    def _tasks(self) -> None:
        from dbt.task.build import BuildTask
        from dbt.task.run import RunTask
        from dbt.task.runnable import GraphRunnableTask

        for task in (GraphRunnableTask, BuildTask):
            need(task, "MARK_DEPENDENT_ERRORS_STATUSES")
            task.MARK_DEPENDENT_ERRORS_STATUSES = []  # the children are planned all the same
        need(GraphRunnableTask, "call_runner")
        need(GraphRunnableTask, "populate_adapter_cache")
        need(RunTask, "before_run", "safe_run_hooks", "get_hooks_by_type")
        call_runner, before_run, run_hooks = (
            GraphRunnableTask.call_runner,
            RunTask.before_run,
            RunTask.safe_run_hooks,
        )

        @functools.wraps(call_runner)
        def calling(task: Any, runner: Any, *args: Any, **kwargs: Any) -> Any:
            result = call_runner(task, runner, *args, **kwargs)  # since dbt 1.12 a context of tracing
            task._raise_next_tick = None  # --fail-fast is for the run itself
            self._progress(runner.node, task.num_nodes)
            return result

        @functools.wraps(before_run)
        def beginning(task: Any, adapter: Any, selected: Any) -> Any:
            self._began(task, selected)
            return before_run(task, adapter, selected)

        @functools.wraps(run_hooks)
        def hooks(task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
            return self._hooks(run_hooks, task, adapter, hook_type, extra_context)

        populate = GraphRunnableTask.populate_adapter_cache

        @functools.wraps(populate)
        def populating(task: Any, adapter: Any, *args: Any, **kwargs: Any) -> None:
            populate(task, adapter, *args, **kwargs)
            self.journal.relations["schemas"] = sorted(adapter.cache.schemas)
            self.journal.relations["start"] = relations_of(adapter)

        GraphRunnableTask.populate_adapter_cache = populating
        GraphRunnableTask.call_runner = calling
        RunTask.before_run = beginning
        RunTask.safe_run_hooks = hooks

    def _began(self, task: Any, selected: Any) -> None:
        self.recording.config = task.config
        self.overlay.default_project = task.config.credentials.database
        self.journal.once = why_once(task) or self.journal.once
        self.journal.ephemerals = {
            unique_id: {"name": node.name, "depends_on": list(node.depends_on.nodes)}
            for unique_id, node in task.manifest.nodes.items()
            if node.is_ephemeral_model
        }
        self.journal.environment.update(task.manifest.env_vars)  # of what has not been parsed anew, too
        self.journal.run["parents"] = {
            unique_id: list(getattr(node.depends_on, "nodes", []))
            for unique_id, node in (
                *task.manifest.nodes.items(),
                *getattr(task.manifest, "functions", {}).items(),  # since dbt 1.11
            )
            if str(node.resource_type.value) in ("model", "seed", "snapshot", "function")
        }
        for unique_id, node in getattr(task.manifest, "functions", {}).items():
            self.overlay.project[(node.database, node.schema, node.alias)] = unique_id
        for unique_id, node in task.manifest.nodes.items():
            if getattr(node, "relation_name", None) and not node.is_ephemeral_model:
                self.overlay.project[(node.database, node.schema, node.alias)] = unique_id
                if unique_id in selected:
                    self.overlay.built[(node.database, node.schema, node.alias)] = unique_id

    def _hooks(self, run_hooks: Any, task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
        from dbt.artifacts.schemas.results import RunStatus

        found = task.get_hooks_by_type(hook_type)
        if str(hook_type.value) == "on-run-end":
            # They want the results of a run, and there are none yet.
            self.journal.run["on_run_end"] = len(found)
            self._ends(adapter)
            return RunStatus.Success
        already = len(task.node_results)
        # What this run builds later, they find as it was.
        built, self.overlay.built = self.overlay.built, {}
        try:
            with self.journal.while_doing(phase="run", macros=()):
                run_hooks(task, adapter, hook_type, extra_context)
        except LeftToDbt:
            pass  # its reason is written down
        finally:
            self.overlay.built = built
        errors = {result.node.unique_id: result for result in task.node_results[already:]}
        for at, hook in enumerate(found):
            result = errors.get(hook.unique_id)
            self.journal.run["on_run_start"].append(
                {
                    "unique_id": hook.unique_id,
                    "name": f"{hook.package_name}.on-run-start.{at}",
                    "file": hook.original_file_path,
                    "compiled_code": getattr(result.node if result else hook, "compiled_code", None),
                    "error": result.message if result is not None and str(result.status) == "error" else None,
                }
            )
        return RunStatus.Success

    def _ends(self, adapter: Any) -> None:
        """Keep what dbt's cache knows in the end; of nodes that could not be planned it does not know everything."""
        relations = self.journal.relations
        relations["end"] = relations_of(adapter)
        known = {tuple(one[:3]) for one in relations["end"]}
        relations["open"] += [list(path) for path in self.overlay.built if path not in known]

    def _progress(self, node: Any, total: int) -> None:
        if getattr(node, "is_ephemeral_model", False):
            return
        with self._lock:
            self._counted.add(node.unique_id)
            count, now = len(self._counted), time.monotonic()
            if count < total and now - self._reported < 1.0:
                return
            self._reported = now
        print(f"[cosmos-async] planned {count} of {max(count, total)} nodes", flush=True)
