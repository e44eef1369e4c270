"""What the clauses of a CREATE statement, as dbt writes them, set on a table."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.testing.ddl import properties


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("", {}),
        ("partition by day\ncluster by a, `b`\n", {"timePartitioning": {"type": "DAY", "field": "day"}, "clustering": {"fields": ["a", "b"]}}),
        ("partition by timestamp_trunc(at, hour)", {"timePartitioning": {"type": "HOUR", "field": "at"}}),
        ("partition by date_trunc(day, month)", {"timePartitioning": {"type": "MONTH", "field": "day"}}),
        ("partition by date(at)", {"timePartitioning": {"type": "DAY", "field": "at"}}),
        ("partition by _PARTITIONDATE", {"timePartitioning": {"type": "DAY"}}),
        (
            "partition by range_bucket(id, generate_array(0, 100, 10))",
            {"rangePartitioning": {"field": "id", "range": {"start": "0", "end": "100", "interval": "10"}}},
        ),
        (
            'OPTIONS(\n  description="""the \\"orders\\" as paid""",\n  labels=[(\'a\', \'b\'), (\'c\', \'d\')],\n  require_partition_filter=True)',
            {"description": 'the "orders" as paid', "labels": {"a": "b", "c": "d"}, "requirePartitionFilter": True},
        ),
    ],
)  # fmt: skip
def test_clauses_set_what_they_say(clauses: str, expected: dict[str, Any]) -> None:
    sql = f'create or replace table `p`.`d`.`t`\n{clauses}\nas (\n  select 1 as a, \'"""cluster by x\' as b)'

    assert properties(sql) == expected
