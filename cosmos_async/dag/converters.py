"""
``RenderConfig.node_converters``: an author's functions that make the tasks of some kinds of nodes.

They are called with the keyword arguments that Cosmos 1.15 has for them (``cosmos/airflow/graph.py``), so a converter
that was written for Cosmos runs; what is in ``task_args`` is Cosmos' as well. Beside these a converter may ask for
``setup``, ``render_config``, ``node_conversion_by_task_group`` and ``airflow_args``, which our own operators take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cosmos_async.airflow.compat import DAG, BaseOperator
from cosmos_async.constants import DbtResourceType
from cosmos_async.exceptions import ConfigError
from cosmos_async.graph.dbt_node import DbtNode

Converter = Callable[..., Any]

#: The kinds of nodes that may have a converter; dbt's other kinds are never asked for.
CONVERTIBLE = tuple(kind for kind in DbtResourceType if kind is not DbtResourceType.UNIT_TEST)


def by_kind(node_converters: Mapping[Any, Any] | None) -> dict[DbtResourceType, Converter]:
    """
    Return the converters by the kind of node.

    Args:
        node_converters: As the author gave them. A key may be a string or a member of Cosmos' enum: its value counts.

    Raises:
        ConfigError: There are no tasks of a kind, or its converter is no function.
    """
    found: dict[DbtResourceType, Converter] = {}
    known = {kind.value: kind for kind in CONVERTIBLE}
    for key, converter in (node_converters or {}).items():
        value = getattr(key, "value", key)
        kind = known.get(value.lower()) if isinstance(value, str) else None
        if kind is None:
            raise ConfigError(
                f"RenderConfig.node_converters for {value} is not supported. Tasks are made of {', '.join(known)}; "
                "leave it out."
            )
        if not callable(converter):
            raise ConfigError(
                f"RenderConfig.node_converters for {value} is {converter!r}. Give it a function that returns a task."
            )
        found[kind] = converter
    return found


class Converters:
    """
    The converters of a DAG or task group.

    Args:
        functions: See :func:`by_kind`.
        dag: Where their tasks belong.
        arguments: What each of them is told, whatever the node.
    """

    def __init__(
        self, functions: Mapping[DbtResourceType, Converter], dag: DAG, arguments: Mapping[str, Any]
    ) -> None:
        self._functions = functions
        self._dag = dag
        self._arguments = arguments

    def __contains__(self, kind: DbtResourceType) -> bool:
        return kind in self._functions

    def convert(self, kind: DbtResourceType, node: DbtNode | None, *, task_id: str, task_group: Any) -> Any:
        """
        Let a converter make a task; it may make none.

        Args:
            kind: Whose converter: that of tests is asked for the tests of a model, too, and is given the model.
            node: None where a task is for all nodes.
            task_id: The id that the task would have.
            task_group: The group it would be in.

        Raises:
            ConfigError: The converter failed, or what it made is no task of this DAG.
        """
        converter = self._functions[kind]
        arguments = {
            **self._arguments,
            # Its own copy: converters like to change it before they hand it on.
            "task_args": dict(self._arguments["task_args"]),
            "node": node,
            "task_id": task_id,
            "task_group": task_group,
        }
        whose = (
            f"{node.unique_id} ({node.original_file_path})" if node is not None else f"the task {task_id!r}"
        )
        who = f"The converter {_name(converter)} of RenderConfig.node_converters"
        try:
            made = converter(**_wanted(converter, arguments))
        except Exception as error:
            raise ConfigError(f"{who} failed for {whose}: {type(error).__name__}: {error}") from error
        if made is None:
            return None
        made = (
            made if _is_dag_node(made) else getattr(made, "operator", made)
        )  # what a @task function returns
        if not _is_dag_node(made):
            raise ConfigError(
                f"{who} returned {made!r} for {whose}. Return an operator or a task group, or None to leave it out."
            )
        if isinstance(made, BaseOperator) and not made.has_dag():
            made.dag = self._dag
        if made.dag is not self._dag:
            raise ConfigError(
                f"{who} returned for {whose} {made.node_id!r} of the DAG {made.dag.dag_id!r}, but this DAG is "
                f"{self._dag.dag_id!r}. Give the operator the converter's arguments dag and task_group."
            )
        return made


def _is_dag_node(made: Any) -> bool:
    return hasattr(type(made), "node_id")  # Airflow's tasks, mapped ones included, and groups


def _name(converter: Converter) -> str:
    module, name = getattr(converter, "__module__", ""), getattr(converter, "__qualname__", "")
    return f"{module}.{name}" if module and name else repr(converter)


def _wanted(converter: Converter, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return those of *arguments* that a converter takes, as Cosmos' may name all that it has, and no others."""
    try:
        parameters = inspect.signature(converter).parameters.values()
    except (TypeError, ValueError):  # something written in C
        return arguments
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return arguments
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in arguments.items() if name in names}
