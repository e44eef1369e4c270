"""
Real dbt builds the kitchen twice, and the warehouse is what BigQuery's would be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dbt_versions import NEWEST, OLDEST
from tests.warehouse.dbt import DbtRun, dbt
from tests.warehouse.fixture import TIMES_OF_A_RUN, Warehouse

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]


class Kitchen:
    """The warehouse after two builds, the second on the next day's data."""

    def __init__(self, warehouse: Warehouse, version: str, directory: Path) -> None:
        dataset = f"kitchen{version.replace('.', '')}"
        self.first = dbt(warehouse, "build", version=version, dataset=dataset, artifacts=directory)
        self.day_one = warehouse.dump_all(dataset, without=TIMES_OF_A_RUN)
        self.second = dbt(
            warehouse, "build", "--vars", "{day: 2}", version=version, dataset=dataset, artifacts=directory
        )
        self.day_two = warehouse.dump_all(dataset)


@pytest.fixture(scope="module", params=[NEWEST, pytest.param(OLDEST, marks=pytest.mark.slow)])
def kitchen(request: Any, warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    """Both builds, by each version of dbt."""
    return Kitchen(warehouse, request.param, tmp_path_factory.mktemp("dbt"))


def column(relation: dict[str, Any], *names: str) -> list[Any]:
    """The values of one column, or of several as tuples, sorted."""
    rows = [tuple(row[name] for name in names) for row in relation["rows"]]
    return sorted(row[0] if len(names) == 1 else row for row in rows)


def unexpected(run: DbtRun) -> dict[str, str]:
    """The nodes that neither passed nor gave one of the two warnings that are meant to be."""
    warns = ("all_orders_are_settled", "not_null_customers_email")
    return {
        node: state
        for node, state in run.states.items()
        if state not in ("success", "pass") and not (state == "warn" and any(warn in node for warn in warns))
    }


def test_both_builds_succeed(kitchen: Kitchen) -> None:
    """Every node that dbt has for BigQuery, first and later run."""
    assert (kitchen.first.status, unexpected(kitchen.first)) == (0, {}), kitchen.first.output
    assert (kitchen.second.status, unexpected(kitchen.second)) == (0, {}), kitchen.second.output
    assert len(kitchen.first.results) == len(kitchen.second.results) == 45


def test_tables_keep_their_layout_and_words(kitchen: Kitchen) -> None:
    """dbt compares partitioning and clustering before it replaces a table."""
    orders, customers = kitchen.day_two["marts.orders"], kitchen.day_two["marts.customers"]

    assert orders["partitioning"] == {"type": "DAY", "field": "order_date"}
    assert orders["clustering"] == ["customer_id", "status"]
    assert customers["clustering"] == ["customer_id"]
    assert customers["labels"] == {"team": "kitchen"}
    assert customers["description"] == 'One row per customer, with "quotes" and an it\'s to escape.'
    assert customers["columns"][0]["description"] == "The customer's number."
    assert kitchen.day_two["stg_customers"]["type"] == "VIEW"
    assert kitchen.day_two["stg_customers"]["description"] == "The newest version of each customer."


def test_a_merge_changes_known_rows_and_adds_new_ones(kitchen: Kitchen) -> None:
    """incremental_strategy merge with a unique key."""
    assert column(kitchen.day_one["orders_merged"], "order_id", "status")[3] == ("103", "placed")

    merged = column(kitchen.day_two["orders_merged"], "order_id", "status")

    assert [order for order, _ in merged] == [str(number) for number in range(100, 109)]
    assert merged[3] == ("103", "completed")


def test_an_append_keeps_both_versions(kitchen: Kitchen) -> None:
    """An incremental model without a unique key."""
    assert len(kitchen.day_one["orders_appended"]["rows"]) == 6
    assert column(kitchen.day_two["orders_appended"], "order_id").count("103") == 2


def test_an_overwrite_replaces_the_partitions_it_was_told_or_found(kitchen: Kitchen) -> None:
    """Order 103 changed in a partition that only the dynamic overwrite replaces."""
    static = dict(column(kitchen.day_two["orders_overwritten_static"], "order_id", "status"))
    dynamic = dict(column(kitchen.day_two["orders_overwritten_dynamic"], "order_id", "status"))

    assert static["103"] == "placed"
    assert static["104"] == "shipped"
    assert dynamic["103"] == "completed"
    assert len(static) == len(dynamic) == 9


def test_a_new_column_is_appended(kitchen: Kitchen) -> None:
    """on_schema_change: append_new_columns; rows that are not merged again have no value in it."""
    before = [each["name"] for each in kitchen.day_one["customers_growing"]["columns"]]
    after = [each["name"] for each in kitchen.day_two["customers_growing"]["columns"]]

    assert after == [*before, "city"]
    assert "Portsmouth" in column(kitchen.day_two["customers_growing"], "city")


def test_snapshots_close_what_changed(kitchen: Kitchen) -> None:
    """By time and by comparing columns."""
    for name, key, count in (("customers_history", "customer_id", 7), ("orders_history", "order_id", 11)):
        rows = kitchen.day_two[name]["rows"]
        closed = sorted(row[key] for row in rows if row["dbt_valid_to"] is not None)

        assert len(rows) == count
        assert closed == (["2", "3"] if key == "customer_id" else ["103", "104"])


def test_columns_may_depend_on_data(kitchen: Kitchen) -> None:
    """payment_methods asks the warehouse for its columns while it compiles."""
    before = [each["name"] for each in kitchen.day_one["marts.payment_methods"]["columns"]]
    after = [each["name"] for each in kitchen.day_two["marts.payment_methods"]["columns"]]

    assert "cash_amount" not in before
    assert "cash_amount" in after


def test_hooks_run_around_their_model_and_run(kitchen: Kitchen) -> None:
    """Each leaves a line in the audit log, once per build."""
    events = [event for event, day in column(kitchen.day_two["audit_log"], "event", "day") if day == "2"]

    assert events == ["after", "before", "end: True", "rows: 5"]


def test_failures_are_stored(kitchen: Kitchen) -> None:
    """store_failures makes tables in a dataset of their own."""
    stored = kitchen.day_two["dbt_test__audit.all_orders_are_settled"]["rows"]

    assert stored == [{"value_field": "false", "n_records": "2"}]
    assert kitchen.day_two["dbt_test__audit.payments_match_orders"]["rows"] == []


def test_dbt_tells_bytes_rows_and_jobs(kitchen: Kitchen) -> None:
    """The adapter's response is what users see in the log."""
    orders = kitchen.first.results["model.kitchen.orders"]["adapter_response"]
    overwritten = kitchen.second.results["model.kitchen.orders_overwritten_dynamic"]["adapter_response"]
    merged = kitchen.second.results["model.kitchen.orders_merged"]["adapter_response"]

    assert orders["code"] == "CREATE TABLE"
    assert orders["rows_affected"] == 6
    assert orders["bytes_processed"] > 0
    assert orders["bytes_billed"] == 10 * 1024 * 1024
    assert orders["slot_ms"] > 0
    assert orders["job_id"]
    assert (merged["code"], merged["rows_affected"]) == ("MERGE", 5)
    assert overwritten["code"] == "SCRIPT"
    assert overwritten["bytes_processed"] > 0
