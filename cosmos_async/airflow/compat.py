"""
Airflow 2.8 to 3.3 under one set of names.

Each difference says which version makes it removable. Nothing here decides anything; it only finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow import __version__ as _airflow_version
from airflow.exceptions import AirflowException

from cosmos_async.airflow.versions import abilities

AIRFLOW_VERSION: tuple[int, int] = tuple(int(part) for part in _airflow_version.split(".")[:2])  # type: ignore[assignment]

if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 0):
    from airflow.sdk import DAG, BaseOperator, BaseOperatorLink, TaskGroup
    from airflow.sdk.definitions.xcom_arg import XComArg
else:  # removable when Airflow 2.11 is dropped
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.models.dag import DAG
    from airflow.models.xcom_arg import XComArg
    from airflow.utils.task_group import TaskGroup

if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 1):
    from airflow.sdk import BaseHook
else:  # removable when Airflow 3.0 is dropped
    from airflow.hooks.base import BaseHook

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:  # removable when Airflow 3.2 is dropped
    from airflow.exceptions import AirflowFailException, AirflowSkipException  # type: ignore[no-redef,attr-defined]

__all__ = [
    "AIRFLOW_VERSION",
    "DAG",
    "ENDS_IN_TRIGGERER",
    "FAILS_IN_TRIGGERER",
    "HAS_ON_KILL",
    "RETURNS_AT_ONCE",
    "SHOWS_NAMES",
    "STARTS_IN_TRIGGERER",
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "TaskGroup",
    "XComArg",
    "start_trigger_args",
]

_ABILITIES = abilities(AIRFLOW_VERSION)

#: The scheduler honours ``start_from_trigger``.
STARTS_IN_TRIGGERER = _ABILITIES.starts

#: A trigger may end its task (``TaskSuccessEvent`` and its siblings).
ENDS_IN_TRIGGERER = _ABILITIES.ends

#: A trigger may fail its task without the task losing its retries.
FAILS_IN_TRIGGERER = _ABILITIES.fails

#: Airflow itself tells a kill from a restart, through ``on_kill``.
HAS_ON_KILL = _ABILITIES.on_kill

#: A task may need a worker again as soon as one has deferred it.
RETURNS_AT_ONCE = _ABILITIES.returns

#: A task may be shown under another name than its id.
SHOWS_NAMES = AIRFLOW_VERSION >= (2, 9)


def start_trigger_args(trigger_cls: str, trigger_kwargs: dict[str, Any], next_method: str) -> Any:
    """Return Airflow's ``StartTriggerArgs``; only where :data:`STARTS_IN_TRIGGERER`."""
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls=trigger_cls,
        trigger_kwargs=trigger_kwargs,
        next_method=next_method,
        next_kwargs=None,
        timeout=None,
    )
