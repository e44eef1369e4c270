"""
How a trigger ends its task on the Airflow at hand: by itself where it may, otherwise by asking for a worker.
"""

from __future__ import annotations

from typing import Any

from airflow.triggers import base

from cosmos_async.airflow.compat import ENDS_IN_TRIGGERER, FAILS_IN_TRIGGERER


def is_success(event: Any) -> bool:
    """Return whether *event* ends its task well, without a worker where Airflow lets it."""
    return _is(event, "success", "TaskSuccessEvent" if ENDS_IN_TRIGGERER else None)


def is_failure(event: Any) -> bool:
    """Return whether *event* fails its task, without a worker where the task keeps its retries then."""
    return _is(event, "failed", "TaskFailedEvent" if FAILS_IN_TRIGGERER else None)


def is_skip(event: Any) -> bool:
    """Return whether *event* skips its task, without a worker where Airflow lets it."""
    return _is(event, "skipped", "TaskSkippedEvent" if ENDS_IN_TRIGGERER else None)


def _is(event: Any, status: str, event_class: str | None) -> bool:
    if event_class:
        return isinstance(event, getattr(base, event_class))
    return type(event) is base.TriggerEvent and event.payload["status"] == status
