"""The names of a run's tables as Airflow's assets, and how their events reach Airflow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow import assets as airflow_assets
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG, TaskGroup
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators import assets
from cosmos_async.operators.assets import alias_name, announce, asset_uri, outlets_for, uses_aliases
from cosmos_async.operators.node import DbtRunAsyncOperator
from cosmos_async.plan.announcements import Announcement
from tests.unit.airflow.outlets import outlet_events, sent

STANDARD = "AIRFLOW__COSMOS__USE_DATASET_AIRFLOW3_URI_STANDARD"
ALIASES = "AIRFLOW__COSMOS__ENABLE_DATASET_ALIAS"
ORDERS = Announcement("model.shop.orders", "p.shop.orders", "d__orders__run", "now", {"unique_id": "o"})


def node_task(task_id: str = "orders_run", **kwargs: Any) -> Any:
    """A node's task."""
    own = {"setup_task_id": "setup", "identity": {}, "unique_id": "model.shop.orders"}
    return DbtRunAsyncOperator(task_id=task_id, **own, **kwargs)


def test_an_alias_is_named_as_in_cosmos() -> None:
    """By the DAG, the innermost task group and the task; ids of groups are not repeated."""
    with DAG("d", schedule=None):
        alone = node_task()
        with TaskGroup("dbt"):
            grouped = node_task()
            with TaskGroup("orders"):
                nested = node_task("run")

    assert [alias_name(task) for task in (alone, grouped, nested)] == [
        "d__orders_run",
        "d__dbt__orders_run",
        "d__orders__run",
    ]


def test_a_uri_has_the_form_of_its_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Cosmos has it: dots on Airflow 2, slashes on Airflow 3, or where the setting wants them."""
    own = asset_uri("p.shop.orders")
    monkeypatch.setenv(STANDARD, "True")

    assert own == ("bigquery://p/shop/orders" if AIRFLOW_VERSION >= (3, 0) else "bigquery://p.shop.orders")
    assert asset_uri("p.shop.orders") == "bigquery://p/shop/orders"
    assert asset_uri("example.com:p.shop.bücher 1") == "bigquery://example.com:p/shop/b%C3%BCcher%201"


def test_only_airflow_3_needs_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the error names the setting and the way out; elsewhere events are recorded without aliases."""
    assert uses_aliases() is (AIRFLOW_VERSION >= (2, 10))
    monkeypatch.setenv(ALIASES, "False")

    if AIRFLOW_VERSION >= (3, 0):
        with pytest.raises(ConfigError, match=r"enable_dataset_alias .* is False.*emit_datasets=False"):
            outlets_for(["a"])
    else:
        assert outlets_for(["a"]) == []


def results_task(**kwargs: Any) -> Any:
    """A task that announces."""
    lines: list[str] = []
    log = SimpleNamespace(info=lambda message, *values: lines.append(message % values))
    return SimpleNamespace(outlets=[], log=log, lines=lines, **kwargs)


@pytest.mark.skipif(not airflow_assets.HAS_ALIASES, reason="Airflow 2.10 has brought aliases")
def test_an_event_goes_through_the_alias_of_its_node() -> None:
    """The alias is an outlet of the task by then, as Airflow drops other events; what is announced is not repeated."""
    task, events = results_task(), outlet_events()
    made = Announcement("model.shop.totals", "p.shop.totals", "d__totals_run", "now", made=True)

    announce(task, {"outlet_events": events}, [ORDERS, made])

    assert [outlet.name for outlet in task.outlets] == ["d__orders__run"]
    # Airflow 2 gives a URI without a path a slash at its end, whoever names it.
    ((alias, uri, extra),) = sent(events)
    assert (alias, uri.rstrip("/"), extra) == (
        "d__orders__run",
        asset_uri("p.shop.orders"),
        {"unique_id": "o"},
    )
    assert task.lines == [f"Announced to Airflow: {asset_uri('p.shop.orders')}"]


@pytest.mark.skipif(not airflow_assets.HAS_ALIASES, reason="Airflow 2.10 has brought aliases")
def test_an_outlet_that_is_there_is_not_made_again() -> None:
    """The results task has had them since the DAG was parsed."""
    task = results_task()
    task.outlets = outlets_for(["d__orders__run"])

    announce(task, {"outlet_events": outlet_events()}, [ORDERS])

    assert [outlet.name for outlet in task.outlets] == ["d__orders__run"]


def test_without_aliases_events_are_recorded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On behalf of the task instance."""
    recorded: list[Any] = []
    monkeypatch.setattr(assets, "uses_aliases", lambda: False)
    monkeypatch.setattr(assets, "record", lambda instance, events: recorded.extend([instance, *events]))

    announce(results_task(), {"ti": "the instance"}, [ORDERS])

    assert recorded[0] == "the instance"
    assert [(event.uri, event.extra) for event in recorded[1:]] == [
        (asset_uri("p.shop.orders"), {"unique_id": "o"})
    ]


def test_where_there_is_nothing_to_tell_nothing_is_said() -> None:
    """As where a task is cleared whose nodes are not announced."""
    task = results_task()

    announce(task, {"ti": None, "outlet_events": {}}, [])

    assert task.lines == []
