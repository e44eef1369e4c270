"""Airflow's metrics of tasks that begin or end in the triggerer."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.airflow import metrics
from cosmos_async.airflow.compat import AIRFLOW_VERSION
from cosmos_async.airflow.metrics import Counted, count_end, count_start

pytestmark = pytest.mark.skipif(AIRFLOW_VERSION < (2, 10) or AIRFLOW_VERSION == (3, 0), reason="sends none")

TASK = Counted("shop", "dbt.orders.run", "DbtRunAsyncOperator")
TAGS = {"dag_id": "shop", "task_id": "dbt.orders.run"}


class Stats:
    """Airflow's client, which notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, dict[str, str]]] = []

    def incr(self, name: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        self.sent.append((name, count, tags or {}))

    def timing(self, name: str, duration: float, *, tags: dict[str, str] | None = None) -> None:
        self.sent.append((name, duration, tags or {}))


@pytest.mark.parametrize(
    ("state", "counters"),
    [
        ("success", ["operator_successes", "ti_successes", "ti.finish"]),
        ("failed", ["operator_failures", "ti_failures", "ti.finish"]),
        ("up_for_retry", ["operator_failures", "ti_failures", "ti.finish"]),
        ("skipped", ["ti.finish"]),
    ],
)
def test_an_end_is_counted_under_airflows_names(state: str, counters: list[str]) -> None:
    """Each counter of the worker's once, and the duration in milliseconds, all with the task's tags."""
    stats = Stats()

    count_end(TASK, state, 1.5, stats=stats)

    tagged = {name: (value, tags) for name, value, tags in stats.sent}
    assert [name for name, _, _ in stats.sent if name in counters] == counters
    assert tagged["ti.finish"] == (1, {**TAGS, "state": state})
    assert tagged["task.duration"] == (1500.0, TAGS)


def test_the_operator_has_the_tag_of_this_version() -> None:
    """Airflow has called it by three names."""
    stats = Stats()

    count_end(TASK, "success", 1.0, stats=stats)

    tag = (
        "task_type"
        if AIRFLOW_VERSION < (3, 0)
        else "operator"
        if AIRFLOW_VERSION < (3, 3)
        else "operator_name"
    )
    assert ("operator_successes", 1, {**TAGS, tag: "DbtRunAsyncOperator"}) in stats.sent


def test_names_without_tags_are_sent_where_airflow_makes_none() -> None:
    """Up to 3.2 a worker sends both forms; 3.3 makes one of the other."""
    stats = Stats()

    count_start(TASK, stats=stats)
    count_end(TASK, "success", 1.0, stats=stats)

    untagged = {
        "ti.start.shop.dbt.orders.run",
        "ti.finish.shop.dbt.orders.run.success",
        "operator_successes_DbtRunAsyncOperator",
        "dag.shop.dbt.orders.run.duration",
    }
    assert untagged & {name for name, _, _ in stats.sent} == (untagged if AIRFLOW_VERSION < (3, 3) else set())


def test_a_start_is_counted_once() -> None:
    """Airflow 2 begins the counters of ends at zero then."""
    stats = Stats()

    count_start(TASK, stats=stats)

    assert [one for one in stats.sent if one[0] == "ti.start"] == [("ti.start", 1, TAGS)]
    assert {value for name, value, _ in stats.sent if name.startswith("ti.finish")} <= {0}


def test_a_team_is_a_tag() -> None:
    """Airflow 3.3 counts by team where there are teams."""
    assert Counted("shop", "orders.run", "DbtRunAsyncOperator", "sales").tags["team_name"] == "sales"


@pytest.mark.skipif(AIRFLOW_VERSION < (3, 3), reason="Airflow 3.3 makes names of tags")
def test_airflow_takes_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own client finds all tags that its untagged names are made of, and refuses what lacks one."""
    from airflow._shared.observability.metrics import stats

    backend = Stats()
    monkeypatch.setattr(stats, "_backend", backend)
    monkeypatch.setattr(stats, "_export_legacy_names", True)

    count_start(TASK)
    count_end(TASK, "failed", 2.0)

    names = [name for name, _, _ in backend.sent]
    assert names == [
        "ti.start.shop.dbt__orders__run",
        "ti.start",
        "operator_failures_DbtRunAsyncOperator",
        "operator_failures",
        "ti_failures",
        "ti.finish.shop.dbt__orders__run.failed",
        "ti.finish",
        "dag.shop.dbt__orders__run.duration",
        "task.duration",
    ]


@pytest.mark.parametrize("setting", ["statsd_on", "otel_on", "statsd_datadog_enabled"])
def test_nothing_is_sent_where_airflow_sends_nothing(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are off by default, and cost no thread then."""
    metrics.are_wanted.cache_clear()
    assert not metrics.are_wanted()

    monkeypatch.setenv(f"AIRFLOW__METRICS__{setting.upper()}", "True")
    metrics.are_wanted.cache_clear()

    assert metrics.are_wanted()
    metrics.are_wanted.cache_clear()
