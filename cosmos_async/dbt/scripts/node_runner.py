"""
Run real dbt for some nodes of an earlier invocation, inside dbt's own interpreter.

``<dbt's python> node_runner.py --part PART.json -- <the invocation's own dbt arguments>``; see ``partial_invocation.py``.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any


def load_beside(name: str) -> Any:
    """Return the module of this name beside this file, without its folder on ``sys.path``."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("cosmos_async_" + name, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules["cosmos_async_" + name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def main(arguments: list[str]) -> None:
    """Run the nodes that the command line's file names, and exit as dbt does."""
    inside = load_beside("common")
    inside.leave_script_folder()
    options, dbt_arguments = inside.split(arguments, "--part")
    inside.follow_parent()
    part = load_beside("partial_invocation").Part.read(options["--part"])
    part.narrow(inside)
    remember_start_hooks(inside)
    inside.run_dbt(dbt_arguments, part.manifest())


def remember_start_hooks(inside: Any) -> None:
    """Let nodes find in dbt's memory what the run's on-run-start hooks left there for them."""
    from dbt.artifacts.schemas.results import RunStatus
    from dbt.node_types import RunHookType
    from dbt.task.run import RunTask

    def rendering(task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
        if hook_type == RunHookType.Start:
            inside.render_start_hooks(task)
        return RunStatus.Success

    inside.need(RunTask, "safe_run_hooks", "get_hooks_by_type")
    RunTask.safe_run_hooks = rendering


if __name__ == "__main__":
    main(sys.argv[1:])
