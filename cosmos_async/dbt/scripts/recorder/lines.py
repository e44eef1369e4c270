"""
What dbt does not say while nodes are only planned: that one begins or has ended, or that a run has completed.

Setup tells how far it is and, in the end, each node's level. What goes wrong, warnings and deprecations are told by dbt.
"""

from __future__ import annotations

import functools
from typing import Any

from ..common import need

#: The events by which dbt tells a beginning (``dbt/events/types.py``).
_STARTS = frozenset(("LogStartLine", "LogStartBatch", "LogHookStartLine"))


def say_nothing_of_nodes() -> None:
    """Have dbt not say that it creates or has created what nobody has run yet."""
    from dbt.task import run, seed, test
    from dbt.task.run import MicrobatchBatchRunner, ModelRunner
    from dbt.task.seed import SeedRunner
    from dbt.task.snapshot import SnapshotRunner
    from dbt.task.test import TestRunner

    modules = [run, seed, test]
    # Those that have a line of their own.
    runners: list[Any] = [ModelRunner, MicrobatchBatchRunner, SeedRunner, SnapshotRunner, TestRunner]
    try:
        from dbt.task import function
    except ImportError:  # before dbt 1.11 there are no functions
        pass
    else:
        modules.append(function)
        runners.append(function.FunctionRunner)
    for module in modules:
        _without_starts(module)
    for runner in runners:
        need(runner, "print_result_line")
        runner.print_result_line = _only_errors(runner.print_result_line)


def say_nothing_of_the_run() -> None:
    """Have dbt not say that a hook or a run has completed; what went wrong while it was planned is told."""
    from dbt.task import printer, run
    from dbt.task.run import RunTask

    need(RunTask, "task_end_messages", "print_results_line")
    need(printer, "print_run_result_error")
    need(run, "LogHookEndLine", "fire_event")
    run.fire_event = _unless(
        run.fire_event,
        lambda event: type(event).__name__ == "LogHookEndLine" and event.status == "success",
    )

    def only_errors(task: Any, results: Any) -> None:
        for result in results:
            if not _is_planned(result):
                printer.print_run_result_error(result, is_warning=False)

    RunTask.task_end_messages = only_errors
    RunTask.print_results_line = lambda *_: None


def say_nothing_of_freshness() -> None:
    """Have dbt not say how old a source is that nobody has asked about yet."""
    from dbt.task import freshness
    from dbt.task.freshness import FreshnessRunner

    need(FreshnessRunner, "after_execute")
    _without_starts(freshness)
    after_execute = FreshnessRunner.after_execute

    @functools.wraps(after_execute)
    def only_errors(runner: Any, result: Any) -> None:
        if str(result.status) == "runtime error":
            after_execute(runner, result)

    FreshnessRunner.after_execute = only_errors


def _without_starts(module: Any) -> None:
    need(module, "fire_event")
    module.fire_event = _unless(module.fire_event, lambda event: type(event).__name__ in _STARTS)


def _unless(fire_event: Any, is_unsaid: Any) -> Any:
    @functools.wraps(fire_event)
    def firing(event: Any, *args: Any, **kwargs: Any) -> None:
        if not is_unsaid(event):
            fire_event(event, *args, **kwargs)

    return firing


def _is_planned(result: Any) -> bool:
    return str(getattr(result.status, "value", result.status)) in ("success", "pass", "no-op")


def _only_errors(print_result_line: Any) -> Any:
    @functools.wraps(print_result_line)
    def line(runner: Any, result: Any) -> None:
        if not _is_planned(result):
            print_result_line(runner, result)

    return line
