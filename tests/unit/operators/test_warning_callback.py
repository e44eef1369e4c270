"""An author's ``on_warning_callback`` hears of what warned, on a worker that only such a task takes."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.operators.node import DbtBuildAsyncOperator, DbtRunAsyncOperator, DbtTestAsyncOperator
from cosmos_async.operators.warning_callback import tell_warnings

RESULTS = {
    "test.shop.unique_orders_id.1a2b3c": {"status": "pass", "message": None},
    "test.shop.not_null_orders_id.4d5e6f": {
        "status": "warn",
        "message": "Got 2 results, configured to warn if != 0",
    },
    "test.shop.no_refunds": {"status": "warn", "message": "Got 1 result, configured to warn if != 0"},
    "source.shop.raw.orders": {"status": "warn", "message": None},
}


def make(cls: Any, **kwargs: Any) -> Any:
    """Make a task in a DAG of its own."""
    with DAG("d", schedule=None):
        return cls(
            task_id="t",
            unique_id="model.shop.orders",
            setup_task_id="dbt_setup_async",
            identity={"conn_id": "gcp"},
            **kwargs,
        )


def test_the_callback_gets_names_and_results_beside_airflows_context() -> None:
    """Two lists of the same order, as in Cosmos."""
    heard: list[dict[str, Any]] = []

    tell_warnings(heard.append, {"ds": "2026-01-01"}, RESULTS, logging.getLogger())

    assert heard == [
        {
            "ds": "2026-01-01",
            "test_names": ["not_null_orders_id", "no_refunds", "raw.orders"],
            "test_results": [
                "Got 2 results, configured to warn if != 0",
                "Got 1 result, configured to warn if != 0",
                "",
            ],
        }
    ]


def test_nobody_is_called_where_nothing_warned() -> None:
    """What passes and what fails are other stories."""
    results = {
        "test.shop.a": {"status": "pass", "message": None},
        "test.shop.b": {"status": "fail", "message": "Got 1"},
    }
    heard: list[dict[str, Any]] = []

    tell_warnings(heard.append, {}, results, logging.getLogger())

    assert heard == []


def test_an_error_of_the_callback_is_told_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """As with Airflow's own callbacks: the tests have been judged."""

    def broken(context: dict[str, Any]) -> None:
        raise RuntimeError("no such channel")

    tell_warnings(broken, {}, RESULTS, logging.getLogger("task"))

    assert "on_warning_callback failed" in caplog.text
    assert "no such channel" in caplog.text


def test_a_task_that_is_resumed_for_its_warnings_calls_back() -> None:
    """The trigger's event has what it needs; nothing is asked anew."""
    heard: list[dict[str, Any]] = []
    task = make(DbtTestAsyncOperator, on_warning_callback=heard.append)

    task.execute_complete({"ds": "x"}, {"status": "success", "message": "", "results": RESULTS})

    assert [context["test_names"] for context in heard] == [
        ["not_null_orders_id", "no_refunds", "raw.orders"]
    ]


@pytest.mark.parametrize(
    ("cls", "asks"),
    [(DbtTestAsyncOperator, True), (DbtBuildAsyncOperator, True), (DbtRunAsyncOperator, False)],
)
def test_a_worker_is_asked_for_only_where_something_may_warn(cls: Any, asks: bool) -> None:
    """Tests do; a model and its unit tests do not."""
    assert make(cls, on_warning_callback=print).trigger_kwargs().get("warns_on_worker", False) is asks
    assert "warns_on_worker" not in make(cls).trigger_kwargs()
