"""
``on_warning_callback``: a function of the DAG's author that hears of tests and freshness checks that warned.

It runs on a worker, which a task that warned takes for it; a task without a warning ends in the triggerer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cosmos_async.plan.outcome import Status


def tell_warnings(
    callback: Callable[[dict[str, Any]], Any],
    context: Any,
    results: Mapping[str, Mapping[str, Any]],
    log: Any,
) -> None:
    """
    Call *callback* if one of *results* is a warning.

    It gets Airflow's context with two more entries, as in Cosmos 1.15: ``test_names`` and ``test_results``, two lists of
    strings of the same order. As with Airflow's own callbacks, an error in it is logged and does not change how the task
    ends.

    Args:
        callback: The author's function.
        context: Airflow's context of the task instance.
        results: By unique id: dbt's ``status`` and ``message`` of what the task has executed.
        log: The task's log.
    """
    warned = {
        unique_id: result["message"] or ""
        for unique_id, result in results.items()
        if result["status"] == Status.WARN.value
    }
    if not warned:
        return
    try:
        callback(
            {
                **context,
                "test_names": [_name_of(unique_id) for unique_id in warned],
                "test_results": list(warned.values()),
            }
        )
    except Exception:
        log.exception("on_warning_callback failed; the task ends as its tests did")


def _name_of(unique_id: str) -> str:
    """Return dbt's name of a test, ``<source>.<table>`` of a source."""
    kind, _, rest = unique_id.partition(".")
    name = rest.partition(".")[2]
    return name.rpartition(".")[0] or name if kind == "test" else name
