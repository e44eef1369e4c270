"""
What BigQuery refuses, the warehouse refuses in BigQuery's words; and what BigQuery takes beside it, passes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.warehouse.fixture import Warehouse

pytestmark = pytest.mark.warehouse

TABLES = """
    create table {d}.things as select 1 as id, 'a' as name;
    create table {d}.texts as select '5' as id, 7 as name, 1.5 as part;
    create table {d}.moments (day date, at timestamp, sum numeric, part float64);
    create table {d}.daily partition by day as select date '2024-01-01' as day, 1 as id;
    create table {d}.clustered cluster by id as select 1 as id;
    create table {d}.ranged partition by range_bucket(id, generate_array(0, 100, 10)) as select 1 as id;
"""


@pytest.fixture(scope="module")
def dataset(warehouse: Warehouse) -> Iterator[str]:
    """A dataset with a few tables."""
    name = f"d{uuid.uuid4().hex}"
    warehouse.query(f"create schema {name}")
    for statement in TABLES.format(d=name).split(";"):
        if statement.strip():
            warehouse.query(statement)
    yield name
    warehouse.drop_all(name)


INT_STRING = "has incompatible types: INT64, STRING"
UNIONS = [
    ("with a as (select null as x) select x from a union all select 'b'", INT_STRING),  # no literal any more
    ("select x from (select null as x) union all select 'b'", INT_STRING),
    ("(select null as x limit 1) union all select 'b'", INT_STRING),
    ("(select null as x union all select null) union all select 'b'", INT_STRING),
    ("select distinct null as x union all select 'b'", INT_STRING),
    ("select 1 as x union all select 'b'", INT_STRING),
    ("select * from {d}.things union all select id, name from {d}.texts", INT_STRING),
    (
        "select id from {d}.things except distinct select 'b'",
        "Column 1 in EXCEPT DISTINCT has incompatible types",
    ),
    (
        "select day from {d}.moments union all select at from {d}.moments",
        "incompatible types: DATE, TIMESTAMP",
    ),
    ("select true as x union all select 1", "incompatible types: BOOL, INT64"),
]
WRITES = [
    (
        "insert into {d}.things (id, name) select id, 'x' from {d}.texts",
        "Query column 1 has type STRING which cannot be inserted into column id, which has type INT64",
    ),
    (
        "insert into {d}.things (id, name) select 1, name from {d}.texts",
        "Query column 2 has type INT64 which cannot be inserted into column name, which has type STRING",
    ),
    (
        "insert into {d}.things (id) select part from {d}.texts",
        "Query column 1 has type FLOAT64 which cannot be inserted into column id, which has type INT64",
    ),
    ("insert into {d}.things (id, name) values ('5', 'x')", "Value has type STRING which cannot be inserted"),
    (
        "insert into {d}.moments (day) select timestamp '2024-01-01'",
        "has type TIMESTAMP which cannot be inserted",
    ),
    (
        "merge into {d}.things t using {d}.texts s on false when not matched then insert (id, name) values (s.id, 'x')",
        "Value of type STRING cannot be assigned to id, which has type INT64",
    ),
    (
        "merge into {d}.things t using (select 1 as id, null as name) s on t.id = s.id "
        "when matched then update set name = s.name",
        "Value of type INT64 cannot be assigned to name, which has type STRING",
    ),
]
REPLACED = "Cannot replace a table with a different partitioning spec"
CREATES = [
    ("create or replace table {d}.daily as select date '2024-01-01' as day", "New partitioning spec is none and"),
    ("create or replace table {d}.daily partition by day cluster by id as select date '2024-01-01' as day, 1 as id", REPLACED),
    ("create or replace table {d}.things cluster by id as select 1 as id", "existing spec is none"),
    ("create or replace table {d}.clustered as select 1 as id", "existing spec is clustering(id)"),
    (
        "create or replace table {d}.ranged partition by range_bucket(id, generate_array(0, 100, 20)) as select 1 as id",
        REPLACED,
    ),
    ("create table {d}.other cluster by nobody as select 1 as id", "Unrecognized name: nobody"),
    ("create table {d}.other partition by nobody as select 1 as id", "Unrecognized name: nobody"),
    ("create table {d}.other partition by at as select current_timestamp() as at", "PARTITION BY expression must be"),
    ("create table {d}.other cluster by part as select 1.5 as part", "Tables are not clustered by part of type FLOAT"),
    ("create table {d}.other as select 1 as id, count(*) from {d}.things", "column 2 has no name"),
    ("create view {d}.other as select 1", "CREATE VIEW columns must be named, but column 1 has no name"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "message"), [*UNIONS, *WRITES, *CREATES])
def test_what_bigquery_refuses_is_refused(warehouse: Warehouse, dataset: str, sql: str, message: str) -> None:
    """A stand-in that takes more than BigQuery would hide the same fault on both sides of a comparison."""
    with pytest.raises(AssertionError) as refused:
        warehouse.query(sql.format(d=dataset))

    assert message in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "select null as x union all select 'b'",
        "select null as x union all select null union all select date '2024-01-01'",
        "with a as (select null as x) select x from a union all select 1",
        "select 1 as x union all select 1.5",
        "select day from {d}.moments union all select '2024-01-02'",
        "select [1] as x union all select null",
        "select id, name from {d}.things union all select name, id from {d}.texts",
        "insert into {d}.things (id, name) select 3, null",
        "insert into {d}.moments (day, at, sum, part) values ('2024-01-01', '2024-01-01 00:00:00', 1.5, 1)",
        "insert into {d}.moments (at, sum, part) select timestamp(day), 1, 2 from {d}.moments",
        "merge into {d}.things t using {d}.texts s on false when not matched then insert (id, name) values (s.name, s.id)",
        "create or replace table {d}.daily partition by DAY as select date '2024-01-01' as day",
        "create or replace table {d}.ranged partition by range_bucket(ID, generate_array(0, 100, 10)) as select 2 as id",
        "create or replace table {d}.clustered cluster by id as select 1 as id",
        "create temp table daily as select 1 as id; select * from daily",
        "create or replace view {d}.seen as select id, things.name from {d}.things",
    ],
)
def test_what_bigquery_takes_is_taken(warehouse: Warehouse, dataset: str, sql: str) -> None:
    """A stand-in that refuses more than BigQuery would leave nodes untried."""
    warehouse.query(sql.format(d=dataset))
