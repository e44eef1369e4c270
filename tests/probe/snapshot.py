"""
What a DAG or a task is made of, as flat text that two of them can be compared by.

An argument has an effect where the text is another one with it: a task more or less, an edge, an attribute of a task, a word
on dbt's command line or a variable of its environment.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

Snapshot = dict[str, str]

#: Tasks that only one of the packages has, and what Airflow sets by itself.
AROUND = re.compile(r"(.*\.)?dbt_(setup|teardown|results|done|other_tests)_async")
_NOISE = frozenset(
    (
        "dag",
        "dbt",
        "task_group",
        "setup",
        "upstream_task_ids",
        "downstream_task_ids",
        "label",
        "output",
        "extra_context",
    )
) | frozenset(
    (
        "async_context",
        "dbt_kwargs",
        "start_date",
        "processes",
        "openlineage_events_completes",
        "manifest_filepath",
    )
)
_DEPTH = 4


def told(value: Any, depth: int = 0) -> str:
    """Return a value without anything that another process would say otherwise."""
    if isinstance(value, Mapping):
        # Cosmos keeps facts for its telemetry among a DAG's params.
        value = {key: each for key, each in value.items() if not str(key).startswith("__cosmos")}
        return (
            "{"
            + ", ".join(f"{key}: {told(each, depth + 1)}" for key, each in sorted(value.items(), key=str))
            + "}"
        )
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = [told(each, depth + 1) for each in value]
        return "[" + ", ".join(sorted(parts) if isinstance(value, (set, frozenset)) else parts) + "]"
    if isinstance(value, functools.partial):
        return f"<{value.func.__name__}>"
    if callable(value) and hasattr(value, "__name__"):
        return f"<{value.__name__}>"
    if isinstance(value, PurePath):
        return str(value)
    if depth < _DEPTH and type(value).__module__.startswith("cosmos") and not hasattr(value, "value"):
        names = [field.name for field in fields(value)] if is_dataclass(value) else sorted(vars(value))
        return told(
            {name: getattr(value, name, None) for name in names if not name.startswith("_")}, depth + 1
        )
    return re.sub(r" at 0x\w+", "", str(getattr(value, "value", value)))


def of_task(task: Any) -> Snapshot:
    """Return what is seen of a task: its attributes, and how it would call dbt."""
    from cosmos_async.dbt.invocation import DbtInvocation

    found = {
        name: told(value)
        for name, value in vars(task).items()
        if not name.startswith("_") and name not in _NOISE
    }
    # Airflow keeps these under private names.
    for name in (
        "depends_on_past",
        "outlets",
        "inlets",
        "trigger_rule",
        "weight_rule",
        "executor_config",
        "params",
    ):
        if hasattr(task, name):
            found[name] = told(getattr(task, name))
    found["class"] = type(task).__name__
    if isinstance(getattr(task, "dbt", None), DbtInvocation):  # where dbt lives is not on its command line
        found["execution"] = told(task.dbt.execution_config)
    command = command_of(task)
    if command is not None:
        found["dbt"] = " ".join(command[0])
        found["environment"] = told(command[1])
    return found


def command_of(task: Any) -> tuple[list[str], dict[str, str]] | None:
    """Return the command line and the environment that a task runs dbt with."""
    from cosmos.operators.base import AbstractDbtBase

    from cosmos_async.dbt.command import dbt_arguments, dbt_environment
    from cosmos_async.dbt.invocation import DbtInvocation
    from cosmos_async.operators.local_base import DbtLocalBaseOperator

    if isinstance(task, AbstractDbtBase):
        with contextlib.suppress(Exception):  # those of Cosmos that call dbt otherwise
            command, env = task.build_cmd(context={}, cmd_flags=task.add_cmd_flags())
            return [str(word) for word in command], {name: str(value) for name, value in env.items()}
        return None
    if isinstance(task, DbtLocalBaseOperator):
        invocation = task._invocation()
        words = dbt_arguments(invocation, tuple(task.base_cmd), extra=task.add_cmd_flags())
        return words, dbt_environment(invocation, {})
    invocation = getattr(task, "dbt", None)
    if isinstance(invocation, DbtInvocation) and type(task).__name__ == "SetupAsyncOperator":
        return dbt_arguments(invocation), dbt_environment(invocation, {"PARENT": "x"})
    return None


def of_tasks(tasks: Iterable[Any]) -> Snapshot:
    """Return what is seen of the tasks of a DAG, or of one that is in none."""
    found: Snapshot = {}
    for task in tasks:
        found[f"task {task.task_id}"] = "is there"
        found[f"edges {task.task_id}"] = told(set(task.downstream_task_ids))
        found.update({f"attribute {task.task_id} {name}": value for name, value in of_task(task).items()})
    return found


def difference(before: Snapshot, after: Snapshot) -> dict[str, tuple[str | None, str | None]]:
    """Return what changes, without the details of tasks that come or go."""
    changed = {
        key: (before.get(key), after.get(key))
        for key in {*before, *after}
        if before.get(key) != after.get(key)
    }
    moved = {key.split(" ", 1)[1] for key in changed if key.startswith("task ")}
    return {
        key: pair
        for key, pair in changed.items()
        if key.startswith("task ") or key.split(" ")[1] not in moved
    }


def moved_tasks(change: dict[str, tuple[str | None, str | None]]) -> set[tuple[str, bool]]:
    """Return the tasks that come (True) or go, without those around the nodes."""
    return {
        (key.split(" ", 1)[1], pair[1] is not None)
        for key, pair in change.items()
        if key.startswith("task ") and not AROUND.fullmatch(key.split(" ", 1)[1])
    }


def summary(change: dict[str, tuple[str | None, str | None]]) -> str:
    """Return what kinds of things change, for a person."""
    kinds = set()
    for key in change:
        kind, _, rest = key.partition(" ")
        kinds.add(rest.rpartition(" ")[2] if kind == "attribute" else {"task": "tasks"}.get(kind, kind))
    return ", ".join(sorted(kinds))
