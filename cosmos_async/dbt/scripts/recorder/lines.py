"""What dbt says of a node while it is only planned."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .journal import Journal

#: How a node that is not built now appears in dbt's lines: the word before it, and the status behind.
PLANNED = ("PLANNED", "planned")
AT_ITS_TURN = ("NOT YET PLANNED", "left for its turn")
BY_DBT = ("NOT PLANNED", "left to real dbt")


def runners_say_planned(journal: Journal) -> None:
    """Have dbt not say that it has created or loaded or tested what nobody has run yet."""
    for runner in _runners():
        need(runner, "print_result_line", "describe_node")
        runner.print_result_line = _planned_line(runner.print_result_line, journal)


def _runners() -> list[Any]:
    from dbt.task.run import MicrobatchBatchRunner, ModelRunner
    from dbt.task.seed import SeedRunner
    from dbt.task.snapshot import SnapshotRunner
    from dbt.task.test import TestRunner

    # Those that have a line of their own.
    found = [ModelRunner, MicrobatchBatchRunner, SeedRunner, SnapshotRunner, TestRunner]
    try:
        from dbt.task.function import FunctionRunner
    except ImportError:  # before dbt 1.11 there are no functions
        return found
    return [*found, FunctionRunner]


def run_says_planned() -> None:
    """Have dbt not say that a hook or a run has completed; what went wrong while it was planned is told."""
    from dbt.task import run
    from dbt.task.run import RunTask

    need(RunTask, "task_end_messages", "print_results_line")
    need(run, "LogHookEndLine")
    run.LogHookEndLine = _planned_hook(run.LogHookEndLine)
    task_end_messages = RunTask.task_end_messages

    @functools.wraps(task_end_messages)
    def only_errors(task: Any, results: Any) -> None:
        task_end_messages(task, [result for result in results if not _is_planned(result)])

    RunTask.task_end_messages = only_errors
    RunTask.print_results_line = lambda *_: None


def _planned_hook(end_line: Any) -> Any:
    def line(**values: Any) -> Any:
        if str(values["status"]) != "success":
            return end_line(**values)
        word, status = PLANNED
        return _note(
            f"{word} hook: {values['statement']}",
            status,
            index=values["index"],
            total=values["total"],
            seconds=values["execution_time"],
        )

    return line


def _is_planned(result: Any) -> bool:
    return str(getattr(result.status, "value", result.status)) in ("success", "pass", "no-op")


def _planned_line(print_result_line: Any, journal: Journal) -> Any:
    @functools.wraps(print_result_line)
    def planned_line(runner: Any, result: Any) -> None:
        if not _is_planned(result):
            print_result_line(runner, result)
            return
        unique_id = runner.node.unique_id
        word, status = PLANNED
        if unique_id in journal.flags:
            word, status = AT_ITS_TURN if unique_id in journal.late else BY_DBT
        described, index, total = runner.describe_node, runner.node_index, runner.num_nodes
        if hasattr(runner, "describe_batch"):
            described, index, total = runner.describe_batch, runner.batch_idx + 1, len(runner.batches)
        _say(f"{word} {described()}", status, index=index, total=total, seconds=result.execution_time)

    return planned_line


def _say(what: str, status: str, *, index: Any, total: Any, seconds: float) -> None:
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.functions import fire_event

    fire_event(_note(what, status, index=index, total=total, seconds=seconds), level=EventLevel.INFO)


def _note(what: str, status: str, *, index: Any, total: Any, seconds: float) -> Any:
    """Return a line in dbt's own form."""
    from dbt_common.events.format import format_fancy_output_line
    from dbt_common.events.types import Note

    line = format_fancy_output_line(msg=what, status=status, index=index, total=total, execution_time=seconds)
    return Note(msg=line)


def freshness_says_planned() -> None:
    """Have dbt not say how old a source is that nobody has asked about yet."""
    from dbt.task.freshness import FreshnessRunner

    need(FreshnessRunner, "after_execute")
    after_execute = FreshnessRunner.after_execute

    @functools.wraps(after_execute)
    def planned_line(runner: Any, result: Any) -> None:
        if str(result.status) == "runtime error":
            after_execute(runner, result)
            return
        _say(
            f"PLANNED freshness of {runner.node.source_name}.{runner.node.name}",
            result.message or "planned",
            index=runner.node_index,
            total=runner.num_nodes,
            seconds=result.execution_time,
        )

    FreshnessRunner.after_execute = planned_line
