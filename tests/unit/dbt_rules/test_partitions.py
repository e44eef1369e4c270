"""How partitions are called when they are copied."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt_rules.partitions import copy_of, partition_ids
from cosmos_async.exceptions import CosmosAsyncError


def found(kind: str, *values: str | None) -> dict[str, Any]:
    """Return BigQuery's answer to dbt's question for partitions."""
    return {
        "schema": {"fields": [{"name": "f0_", "type": kind}]},
        "rows": [{"f": [{"v": v}]} for v in values],
    }


@pytest.mark.parametrize(
    ("kind", "value", "pattern", "name"),
    [
        ("DATE", "2024-02-29", "%Y%m%d", "20240229"),
        ("DATE", "2024-02-01", "%Y%m", "202402"),
        ("DATE", "2024-01-01", "%Y", "2024"),
        ("TIMESTAMP", "1709164800000000", "%Y%m%d%H", "2024022900"),
        ("TIMESTAMP", "-1000000", "%Y%m%d%H", "1969123123"),
        ("DATETIME", "2024-02-29T23:00:00", "%Y%m%d%H", "2024022923"),
        ("INTEGER", "-10", None, "-10"),
    ],
)
def test_a_partition_is_called_by_its_time_or_its_number(
    kind: str, value: str, pattern: str | None, name: str
) -> None:
    """In UTC, to the granularity of the pattern that dbt's macro used."""
    assert list(partition_ids(found(kind, value), pattern)) == [name]


def test_no_new_data_has_no_partitions() -> None:
    """BigQuery then leaves the rows out."""
    answer = found("DATE")
    del answer["rows"]

    assert list(partition_ids(answer, "%Y")) == []


def test_rows_without_a_partition_end_it_where_dbt_would_fail() -> None:
    """Those before are copied."""
    names = partition_ids(found("DATE", "2024-01-01", None, "2025-01-01"), "%Y")

    assert next(names) == "2024"
    with pytest.raises(CosmosAsyncError, match="has no attribute 'strftime'"):
        next(names)


def test_a_time_of_a_strange_type_is_refused() -> None:
    """Rather than called by something made up."""
    with pytest.raises(CosmosAsyncError, match="STRING"):
        list(partition_ids(found("STRING", "x"), "%Y"))


def test_a_copy_of_one_partition_is_the_copy_of_the_tables_with_decorators() -> None:
    """Everything else of the job stays."""
    table = {"projectId": "p", "datasetId": "d"}
    template = {
        "labels": {"a": "b"},
        "copy": {
            "sourceTables": [{**table, "tableId": "t__tmp"}],
            "destinationTable": {**table, "tableId": "t"},
            "writeDisposition": "WRITE_TRUNCATE",
        },
    }

    assert copy_of(template, "2024") == {
        "labels": {"a": "b"},
        "copy": {
            "sourceTables": [{**table, "tableId": "t__tmp$2024"}],
            "destinationTable": {**table, "tableId": "t$2024"},
            "writeDisposition": "WRITE_TRUNCATE",
        },
    }
