"""
``operator_args`` and ``meta.cosmos.operator_kwargs``: which task of a DAG gets which of them.

They hold what dbt is told (for the task that runs dbt), what Airflow is told (see
:mod:`cosmos_async.dag.task_arguments`) and what Cosmos is told about its own ways of running dbt (see
:mod:`cosmos_async.dag.cosmos_arguments`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION
from cosmos_async.dag.cosmos_arguments import judge
from cosmos_async.dag.task_arguments import AIRFLOW, Scope, of_this_airflow
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import checked
from cosmos_async.exceptions import ConfigError

#: Told to :class:`~cosmos_async.config.ExecutionConfig` as well as here; the more specific one wins.
EXECUTION = frozenset({"virtualenv_dir", "dbt_executable_path", "py_requirements"})

#: Whose credentials the triggerer uses.
IDENTITY = frozenset({"gcp_conn_id", "impersonation_chain"})

#: Our own, of the run as a whole.
RUN = frozenset({"max_concurrent_jobs"})

#: Of the tasks that test something; as in Cosmos, an argument of DbtDag and DbtTaskGroup as well.
CALLBACK = "on_warning_callback"

#: Our own, of the tasks that run in the triggerer: nodes, tests and teardown.
TRIGGERER = frozenset({"completion"})

#: Our own, of a node's tasks; ``emit_datasets`` of a whole DAG is said in RenderConfig.
OF_NODE = TRIGGERER | {"emit_datasets"}

_OPTIONS = frozenset(DbtInvocation.option_names()) - {"select", "exclude", "selector"}
_KNOWN = frozenset({*_OPTIONS, *EXECUTION, *IDENTITY, *RUN, *TRIGGERER, *AIRFLOW, CALLBACK})
_ONE_DBT = "dbt is run once for all nodes of a run; set it in operator_args"
_OF_A_NODE = {
    "full_refresh": "Set full_refresh in the node's own config",
    "threads": "Set threads in operator_args or in the profile",
    "location": "Set location in the profile",
    "event_time_start": _ONE_DBT,
    "fail_fast": _ONE_DBT,
    "max_concurrent_jobs": "It bounds a run; set it in operator_args",
}


@dataclass(frozen=True)
class OperatorArgs:
    """The ``operator_args`` of a DAG, sorted by who gets them."""

    dbt: dict[str, Any] = field(default_factory=dict)  #: for the invocation of dbt
    execution: dict[str, Any] = field(default_factory=dict)  #: over ExecutionConfig
    identity: dict[str, Any] = field(default_factory=dict)  #: over the profile's
    task: dict[str, Any] = field(default_factory=dict)  #: for nodes and tests
    around: dict[str, Any] = field(default_factory=dict)  #: for setup, results and teardown
    setup: dict[str, Any] = field(default_factory=dict)  #: for setup alone, beside the former
    triggerer: dict[str, Any] = field(default_factory=dict)  #: for teardown, beside the former
    given: dict[str, Any] = field(default_factory=dict)  #: all of it as the author wrote it, for converters

    @classmethod
    def sort(cls, operator_args: Mapping[str, Any] | None) -> OperatorArgs:
        """
        Sort *operator_args*.

        Raises:
            ConfigError: One of them has no meaning here, and leaving it out silently would change what happens.
        """
        sorted_args = cls(given=dict(operator_args or {}))
        for name, value in (operator_args or {}).items():
            if name in _OPTIONS:
                if name in ("dbt_cmd_flags", "dbt_cmd_global_flags"):
                    checked(name, value)  # now rather than when the first run begins
                sorted_args.dbt[name] = value
            elif name in EXECUTION:
                sorted_args.execution[name] = value
            elif name in IDENTITY:
                sorted_args.identity[name] = value
            elif name in RUN:
                sorted_args.setup[name] = _a_number(name, value)
            elif name == CALLBACK:
                if value:
                    sorted_args.task[name] = value
            elif name in TRIGGERER:
                sorted_args.task[name] = sorted_args.triggerer[name] = value
            elif name in AIRFLOW:
                sorted_args._sort_for_tasks(name, value)
            else:
                judge("operator_args", name, value, _KNOWN)
        return sorted_args

    def _sort_for_tasks(self, name: str, value: Any) -> None:
        scope = scope_of("operator_args", name)
        if scope in (Scope.EVERY, Scope.NODES):
            self.task[name] = value
        if scope is Scope.EVERY:
            self.around[name] = value
        if scope is Scope.SETUP:
            self.setup[name] = value


def _a_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"operator_args has {name}={value!r}. Set it to a number, 0 for no limit.")
    return value


def scope_of(place: str, name: str) -> Scope:
    """
    Return which tasks get an argument of Airflow's.

    Args:
        place: Where the author has written it.
        name: The argument.

    Raises:
        ConfigError: No task does, or the installed Airflow does not have it.
    """
    scope = AIRFLOW[name]
    if scope is Scope.NOBODY:
        raise ConfigError(
            f"{place} has {name!r}, but each task has its own. Leave it out; RenderConfig.normalize_task_id names tasks."
        )
    if name not in of_this_airflow():
        version = ".".join(map(str, AIRFLOW_VERSION))
        raise ConfigError(
            f"{place} has {name!r}, which tasks of Airflow {version} do not have. Leave it out."
        )
    return scope


def check_setup_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments for setup alone, ``ExecutionConfig(setup_operator_args=...)``, that mean something there.

    Raises:
        ConfigError: One of them has another place, or nobody knows it.
    """
    place = "ExecutionConfig.setup_operator_args"
    taken = {}
    for name, value in given.items():
        if name in AIRFLOW:
            scope_of(place, name)
        elif name not in _OPTIONS | IDENTITY:
            judge(place, name, value, {*_OPTIONS, *IDENTITY, *AIRFLOW})
            continue
        taken[name] = value
    return taken


def check_node_args(place: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of one node's tasks, ``meta.cosmos.operator_kwargs``, that mean something there.

    Args:
        place: The node, its file and the words ``meta.cosmos.operator_kwargs``.
        given: What stands there.

    Raises:
        ConfigError: One of them has another place, or nobody knows it.
    """
    taken = {}
    for name, value in given.items():
        if name in AIRFLOW:
            scope_of(place, name)
        elif name in _OPTIONS | EXECUTION | IDENTITY | RUN:
            raise ConfigError(
                f"{place} has {name!r}, which is not supported there. {_OF_A_NODE.get(name, _ONE_DBT)}."
            )
        elif name not in OF_NODE:
            judge(place, name, value, {*OF_NODE, *AIRFLOW})
            continue
        taken[name] = value
    return taken
