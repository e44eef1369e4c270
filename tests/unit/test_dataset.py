"""What consumers of a run's tables write is what the run announces."""

from __future__ import annotations

import pytest

from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG, TaskGroup
from cosmos_async.dataset import construct_dataset_uri, get_dataset_alias_name
from cosmos_async.exceptions import ConfigError


def test_an_alias_is_called_like_dag_innermost_group_and_task() -> None:
    """A task in a group may be given with or without its groups."""
    with DAG("shop.daily", schedule=None) as dag, TaskGroup("dbt"), TaskGroup("orders") as orders:
        pass

    assert get_dataset_alias_name(dag, None, "orders_run") == "shop.daily__orders_run"
    assert get_dataset_alias_name(dag, orders, "run") == "shop.daily__orders__run"
    assert get_dataset_alias_name(None, orders, "dbt.orders.run") == "shop.daily__orders__run"


def test_a_uri_is_that_of_the_table_and_only_bigquerys() -> None:
    """Airflow 3 wants slashes."""
    wanted = "bigquery://acme/shop/orders" if AIRFLOW_VERSION >= (3, 0) else "bigquery://acme.shop.orders"

    assert construct_dataset_uri("bigquery", "acme.shop.orders") == wanted
    with pytest.raises(ConfigError, match="'postgres://host:5432' is not BigQuery"):
        construct_dataset_uri("postgres://host:5432", "db.shop.orders")
