"""
The hooks of a run of dbt 2, on-run-start and on-run-end: which there are, and which of them nobody could carry out.

Pure: a manifest in, hooks and refusals out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import ConfigError

if TYPE_CHECKING:
    from cosmos_async.dbt.endpoint.beyond import Beyond

Json = dict[str, Any]

START, END = "on-run-start", "on-run-end"
#: What dbt tells on-run-end hooks of a run beside ``results``, which can be changed for macros, too.
TOLD_TO_HOOKS = ("schemas", "database_schemas", "selected_resources")
_JINJA = re.compile(r"\{[{%].*?[%}]\}", re.S)
_SIGNATURE = re.compile(r"\bmacro\s+\w+\s*\((.*?)\)\s*-?%\}", re.S)
_GRAPH = re.compile(r"\bgraph\b")


def hooks_of(manifest: Mapping[str, Any], when: str) -> list[Json]:
    """Return the run's hooks, such as ``on-run-start``, in dbt's order."""
    found = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "operation" and f"-{when}-" in node["name"]
    ]
    return sorted(found, key=lambda node: int(node["name"].rpartition("-")[2]))


def refuse_hooks(manifest: Mapping[str, Any], beyond: Beyond, *, untried: str | None) -> None:
    """
    Refuse a project with hooks of the run that could not be carried out as dbt 2 does.

    Args:
        manifest: dbt's ``manifest.json``.
        beyond: Finds the code of the project's that a hook may run.
        untried: The version of dbt 2, if it is one that was not tried.

    Raises:
        ConfigError: There is such a hook; the message says which, and the way out.
    """
    starts, ends = hooks_of(manifest, START), hooks_of(manifest, END)
    if untried is not None and (starts or ends):
        when, hook = (START, starts[0]) if starts else (END, ends[0])
        place, side = ("of the plan", "before") if starts else ("of the results task", "after")
        raise ConfigError(
            f"The project has an {when} hook ({hook['original_file_path']}), which would be part {place}, and dbt {untried} was "
            f"not tried with this version of cosmos-async. Run it in a task of its own {side} this DAG's nodes "
            "(`dbt run-operation`), or use dbt 1.9 to 1.12."
        )
    for hook in starts:
        why = beyond.why_no_hook(hook)
        if why is not None:
            raise ConfigError(
                f"The on-run-start hook {hook['name']} ({hook['original_file_path']}) cannot be planned: {why} Run it in a task of "
                "its own before this DAG's nodes (`dbt run-operation`), or use dbt 1.9 to 1.12."
            )
    if not ends:
        return
    if not carriers(manifest):
        raise ConfigError(
            f"The project has an on-run-end hook ({ends[0]['original_file_path']}), and no model or test in SQL. dbt 2 runs such "
            "hooks only where it builds something. Run it in a task of its own (`dbt run-operation`)."
        )
    for hook in ends:
        for macro, text in beyond.code_of(hook):
            name = next((name for name in TOLD_TO_HOOKS if macro and _is_free(text, name)), None)
            if name is not None:
                raise ConfigError(
                    f"The on-run-end hook {hook['name']} ({hook['original_file_path']}) runs the macro {macro}, which uses {name} "
                    f"without being given it, and of the run that is only known in the hook itself. Give it to the macro as an "
                    f"argument: {{{{ {macro}({name}) }}}}."
                )
    for hook in starts:
        if any(_GRAPH.search(text) for _, text in beyond.code_of(hook)):
            raise ConfigError(
                f"The on-run-start hook {hook['name']} ({hook['original_file_path']}) uses graph, where it may leave something for "
                f"the on-run-end hook {ends[0]['name']}, which is run by another process of dbt 2. Run one of them in a task of its "
                "own (`dbt run-operation`), or use dbt 1.9 to 1.12."
            )


def carriers(manifest: Mapping[str, Any]) -> list[Json]:
    """
    Return what dbt 2 can be told to build so that it runs on-run-end hooks, the simplest first.

    All of it sends its statements to BigQuery and nowhere else; an ephemeral model sends none.
    """
    return sorted((node for node in manifest["nodes"].values() if _effort(node) < _NEVER), key=_effort)


_NEVER = 9


def _effort(node: Json) -> int:
    if node.get("language") == "python":
        return _NEVER
    config = node.get("config") or {}
    if node["resource_type"] == "test":
        return 2 if config.get("store_failures") else 1
    if node["resource_type"] != "model":
        return _NEVER
    return {"ephemeral": 0, "view": 3, "table": 4, "incremental": 5}.get(
        config.get("materialized") or "view", _NEVER
    )


def _is_free(text: str, name: str) -> bool:
    """Tell whether a macro uses a name that is neither an argument of its nor set in it."""
    signature = _SIGNATURE.search(text)
    if signature is not None and re.search(rf"\b{name}\b", signature[1]):
        return False
    if re.search(rf"\bset\s+{name}\b|\bfor\s+(?:\w+\s*,\s*)*{name}\b", text):
        return False
    used = re.compile(rf"(?<![.\w'\"]){name}\b(?!['\"]|\s*=[^=])")
    return any(used.search(block) for block in _JINJA.findall(text))
