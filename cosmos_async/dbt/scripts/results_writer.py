"""
Have dbt write ``run_results.json`` and ``manifest.json`` of a run it did not execute, inside dbt's own interpreter.

``<dbt's python> <this folder> results_writer --outcomes OUTCOMES.json -- <the invocation's own dbt arguments>``

The same dbt command runs, but its nodes are not executed: their results are built from what the run left behind.
Everything else is dbt's own work: the order of hooks, the skipped children, the summary, the artifacts. The project's
on-run-end hooks are executed for real, with the real ``results``. on-run-start hooks are not run again; but as some
leave something in dbt's memory for those of the end, they are rendered once more, and may change nothing by that.

OUTCOMES.json::

    {"invocation_id": ..., "started_at": ...,        the run's, or null
     "dbt_version": ..., "parsed": ...,              the project as setup kept it, a file, and the dbt that parsed it, or null
     "planned": [unique_id, ...] or null,            the run's nodes; null means all that are selected
     "outcomes": {unique_id: {"status", "message", "started_at", "completed_at", "level", "failures",
                              "adapter_response", "compiled_code", "batch_results",
                              "overload_results"}}}

The exit code is 0 even where nodes failed, as the run's state is decided elsewhere. It is not 0 where an on-run-end
hook or dbt itself failed, and ``partial_invocation.UNUSABLE`` where the parsed project is of no use here.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import json
from typing import Any

from .common import follow_parent, need, parse_time, pin_invocation, render_start_hooks, run_dbt, split
from .partial_invocation import Part

# The two kinds of nodes that dbt only passes by; there is nothing to execute and nothing to be planned.
PASSED_BY = ("exposure", "saved_query")
# What --fail-fast stops a run for (dbt/task/runnable.py).
FAILED = ("error", "fail", "partial success")
WELL = ("success", "pass", "no-op")


def main(arguments: list[str]) -> None:
    """Write the artifacts of the run that the command line names."""
    options, dbt_arguments = split(arguments, "--outcomes")
    path = options["--outcomes"]
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    follow_parent()
    pin_invocation(document.get("invocation_id"), document.get("started_at"))
    manifest = Part((), dbt_version=document.get("dbt_version"), parsed=document.get("parsed")).manifest()
    replay = Replay(document)
    replay.install()
    try:
        run_dbt(dbt_arguments, manifest)
    except SystemExit as exit_:
        raise SystemExit(replay.exit_code(exit_.code)) from None


class Replay:
    """The run's outcomes, put in the place of dbt's execution."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.outcomes: dict[str, dict[str, Any]] = document["outcomes"]
        self.started_at = document.get("started_at")
        planned = document.get("planned")
        self.planned = None if planned is None else frozenset(planned)
        self.results: list[Any] | None = None  # once all nodes have theirs
        self.failed_hooks: list[str] = []

    def install(self) -> None:
        """Replace dbt's way to execute nodes, and what it does before."""
        from dbt.task.run import RunTask
        from dbt.task.runnable import GraphRunnableTask

        need(GraphRunnableTask, "execute_nodes", "_handle_result", "get_runner", "call_runner")
        need(RunTask, "before_run", "after_run", "get_hooks_by_type", "safe_run_hooks")
        GraphRunnableTask.execute_nodes = lambda task: self.execute_nodes(task)
        RunTask.before_run = lambda task, adapter, selected_uids, *_: self.before_run(task, selected_uids)
        after_run = RunTask.after_run
        RunTask.after_run = lambda task, adapter, results: self.after_run(task, adapter, results, after_run)

    def before_run(self, task: Any, selected_uids: Any) -> Any:
        """Do what dbt does before the first node, without touching the warehouse."""
        from dbt.artifacts.schemas.results import RunStatus
        from dbt.task import group_lookup

        task.defer_to_manifest()
        group_lookup.init(task.manifest, selected_uids)
        begun = [outcome["started_at"] for outcome in self.outcomes.values() if outcome.get("started_at")]
        if self.started_at or begun:
            # From it dbt computes how long the run took.
            task.started_at = self._seconds(self.started_at or min(begun, key=parse_time))
        for hook in self._start_hooks(task):
            if hook.unique_id in self.outcomes:
                task.node_results.append(self.result(hook, self.outcomes[hook.unique_id], thread="main"))
        return RunStatus.Success

    def execute_nodes(self, task: Any) -> Any:
        """Give every node of the run its result, in the order in which they ended."""
        stops = self._stops()
        selected = {node.unique_id: node for node in task._flattened_nodes or []}
        for unique_id in getattr(task, "selected_unit_tests", ()):
            selected[unique_id] = task.manifest.unit_tests[unique_id]
        done = sorted(
            (
                unique_id
                for unique_id, outcome in self.outcomes.items()
                if self._is_node(task, unique_id, selected) and not (stops and outcome["status"] == "skipped")
            ),
            key=lambda unique_id: parse_time(self.outcomes[unique_id]["completed_at"]),
        )
        left = [
            unique_id
            for unique_id in self._parents_first(task, selected)
            if unique_id not in self.outcomes and self._belongs(selected[unique_id])
        ]
        task.num_nodes = len(done) + len(left)
        for unique_id in done:
            self.replay(task, selected[unique_id], self.outcomes[unique_id])
        if stops:
            self.stop(task)
        else:
            for unique_id in left:
                self.pass_by(task, selected[unique_id])
        self.results = task.node_results
        return task.node_results

    def replay(self, task: Any, node: Any, outcome: dict[str, Any]) -> None:
        """Give *node* the result of *outcome*; of what went well the task's log has a line already."""
        from dbt_common.events.contextvars import log_contextvars

        runner = task.get_runner(node)
        if outcome["status"] == "skipped":
            self._skip(task, runner, outcome.get("message"))
            return
        if node.resource_type == "unit_test" and outcome["status"] != "error":
            # dbt's result has the test as it was rendered for its model; one with an error did not get that far.
            node = runner.build_unit_test_manifest_from_test(node, task.manifest).nodes[node.unique_id]
        result = self.result(node, outcome, thread=str(outcome.get("level") or "triggerer"))
        if outcome["status"] not in WELL:
            with log_contextvars(node_info=node.node_info):
                runner.print_result_line(result)
        task._handle_result(result)

    def pass_by(self, task: Any, node: Any) -> None:
        """Give *node*, of which nothing is known, the result dbt gives when a parent failed or nothing is to be done."""
        runner = task.get_runner(node)
        if node.resource_type in PASSED_BY and node.unique_id not in task._skipped_children:
            task._handle_result(task.call_runner(runner))
        else:
            self._skip(task, runner)

    def stop(self, task: Any) -> None:
        """Give all other nodes the result of those that --fail-fast has stopped, as dbt does where it is stopped."""
        from dbt.task.printer import print_run_result_error
        from dbt.task.runnable import mark_node_as_skipped

        first = next(result for result in task.node_results if result.status in FAILED)
        executed = {result.node.unique_id for result in task.node_results}
        for node in task._flattened_nodes:
            # Ephemeral models, too: dbt has no result of theirs, and so it takes them for stopped.
            if node.unique_id not in executed and (node.is_ephemeral_model or self._belongs(node)):
                task.node_results.append(mark_node_as_skipped(node, executed, "Skipping due to fail_fast"))
        print_run_result_error(first)

    def result(self, node: Any, outcome: dict[str, Any], *, thread: str) -> Any:
        """Return dbt's result for *node*."""
        from dbt.artifacts.schemas.batch_results import BatchResults
        from dbt.artifacts.schemas.results import RunStatus, TestStatus, TimingInfo
        from dbt.artifacts.schemas.run import RunResult

        status = outcome["status"]
        if node.resource_type in ("test", "unit_test"):
            status = TestStatus(status)
        else:
            status = RunStatus(status) if status in list(RunStatus) else RunStatus.Success  # 1.9 has no no-op
        timing = []
        if outcome.get("started_at"):
            begun, ended = (parse_time(outcome[name]) for name in ("started_at", "completed_at"))
            timing = [TimingInfo("execute", begun, ended)]
        if outcome.get("compiled_code") is not None and hasattr(node, "compiled_code"):
            node.compiled, node.compiled_code = True, outcome["compiled_code"]
        batches = outcome.get("batch_results")
        more = {}
        if hasattr(RunResult, "overload_results"):  # since dbt 1.12
            more["overload_results"] = self._overloads(node, outcome)
        return RunResult(
            node=node,
            status=status,
            timing=timing,
            thread_id=thread,
            execution_time=(timing[0].completed_at - timing[0].started_at).total_seconds() if timing else 0.0,
            message=outcome.get("message"),
            adapter_response=outcome.get("adapter_response") or {},
            failures=outcome.get("failures"),
            batch_results=None if batches is None else BatchResults.from_dict(batches),
            **more,
        )

    def _overloads(self, node: Any, outcome: dict[str, Any]) -> Any:
        """Return what dbt says of a function's overloads, and of a function that has none."""
        from dbt.artifacts.schemas.overload_results import OverloadResults

        told = outcome.get("overload_results")
        if told is not None:
            return OverloadResults.from_dict(told)
        made = node.resource_type == "function" and outcome["status"] in WELL
        return OverloadResults() if made else None

    def after_run(self, task: Any, adapter: Any, results: Any, original: Any) -> None:
        """Let dbt run its on-run-end hooks, and remember those that failed."""
        before = len(task.node_results)
        if task.get_hooks_by_type(self._hook_type("End")):
            failed = (
                one for one, outcome in self.outcomes.items() if outcome["status"] in ("error", "skipped")
            )
            render_start_hooks(task, frozenset(failed))
        original(task, adapter, results)
        hooks = task.node_results[before:]
        self.failed_hooks = [hook.node.unique_id for hook in hooks if hook.status in ("error", "skipped")]

    def exit_code(self, code: Any) -> int:
        """Return our exit code for dbt's."""
        if self.results is not None and not self.failed_hooks and code in (None, 0, 1):
            return 0
        return code if isinstance(code, int) and code else 1

    def _skip(self, task: Any, runner: Any, message: str | None = None) -> None:
        runner.do_skip(cause=task._skipped_children.pop(runner.node.unique_id, None))
        result = task.call_runner(runner)
        result.message = message or result.message
        task._handle_result(result)

    def _stops(self) -> bool:
        from dbt.flags import get_flags

        return get_flags().FAIL_FAST and any(
            outcome["status"] in FAILED for outcome in self.outcomes.values()
        )

    def _belongs(self, node: Any) -> bool:
        if node.is_ephemeral_model:
            return False
        return self.planned is None or node.unique_id in self.planned or node.resource_type in PASSED_BY

    def _parents_first(self, task: Any, unique_ids: Any) -> list[str]:
        # A child is skipped as its parent was.
        import networkx

        position = {unique_id: at for at, unique_id in enumerate(networkx.topological_sort(task.graph.graph))}
        return sorted(unique_ids, key=lambda unique_id: (position.get(unique_id, -1), unique_id))

    def _is_node(self, task: Any, unique_id: str, selected: dict[str, Any]) -> bool:
        """Tell whether an outcome is a node's, and take it along even if it is not selected any more."""
        if unique_id in selected:
            return True
        for place in (task.manifest.nodes, task.manifest.unit_tests, getattr(task.manifest, "functions", {})):
            if unique_id in place and place[unique_id].resource_type != "operation":
                selected[unique_id] = place[unique_id]
                return True
        return False

    def _start_hooks(self, task: Any) -> Any:
        return task.get_hooks_by_type(self._hook_type("Start"))

    def _hook_type(self, name: str) -> Any:
        from dbt.node_types import RunHookType

        return getattr(RunHookType, name)

    def _seconds(self, text: str) -> float:
        import datetime

        return float(parse_time(text).replace(tzinfo=datetime.timezone.utc).timestamp())
