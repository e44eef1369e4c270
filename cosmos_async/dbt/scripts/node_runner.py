"""
Run real dbt for some nodes of an earlier invocation, inside dbt's own interpreter.

``<dbt's python> <this folder> node_runner --part PART.json -- <the invocation's own dbt arguments>``; see
``partial_invocation.py``.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

from .common import follow_parent, need, render_start_hooks, run_dbt, split
from .partial_invocation import Part


def main(arguments: list[str]) -> None:
    """Run the nodes that the command line's file names, and exit as dbt does."""
    options, dbt_arguments = split(arguments, "--part")
    follow_parent()
    part = Part.read(options["--part"])
    part.narrow()
    remember_start_hooks()
    run_dbt(dbt_arguments, part.manifest())


def remember_start_hooks() -> None:
    """Let nodes find in dbt's memory what the run's on-run-start hooks left there for them."""
    from dbt.artifacts.schemas.results import RunStatus
    from dbt.node_types import RunHookType
    from dbt.task.run import RunTask

    def rendering(task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
        if hook_type == RunHookType.Start:
            render_start_hooks(task)
        return RunStatus.Success

    need(RunTask, "safe_run_hooks", "get_hooks_by_type")
    RunTask.safe_run_hooks = rendering
