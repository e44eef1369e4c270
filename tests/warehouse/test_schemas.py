"""
Schemas change as in BigQuery: by patches, by ALTER TABLE, and when a view's table is gone.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.warehouse.fixture import Json, Warehouse

pytestmark = pytest.mark.warehouse

PERSON = "select 1 as id, struct('Ada' as name, struct('x' as street) as home) as person, [struct(1 as no)] as orders"


@pytest.fixture
def dataset(warehouse: Warehouse) -> Iterator[str]:
    """A dataset with one table of records."""
    name = f"d{uuid.uuid4().hex}"
    warehouse.query(f"create schema {name}")
    warehouse.query(f"create table {name}.people as {PERSON}")
    yield name
    warehouse.drop_all(name)


def patch(warehouse: Warehouse, dataset: str, change: Callable[[list[Json]], None]) -> list[Json]:
    """Send the schema of people, changed, by tables.patch and return the one that is there afterwards."""
    path = f"projects/{warehouse.project}/datasets/{dataset}/tables/people"
    fields = copy.deepcopy(warehouse.table(dataset, "people")["schema"]["fields"])
    change(fields)
    warehouse.call("PATCH", path, {"schema": {"fields": fields}})
    found: list[Json] = warehouse.table(dataset, "people")["schema"]["fields"]
    return found


def names(fields: list[Json]) -> list[str]:
    """Return the names of *fields* in their order."""
    return [field["name"] for field in fields]


def test_a_patch_adds_fields_at_any_depth(warehouse: Warehouse, dataset: str) -> None:
    """Behind the others; rows that are there have none, and new ones can be written."""

    def grow(fields: list[Json]) -> None:
        fields[1]["fields"].append({"name": "zone", "type": "STRING"})
        fields[1]["fields"].append({"name": "age", "type": "INTEGER"})
        fields[1]["fields"][1]["fields"].append({"name": "number", "type": "INTEGER"})
        fields[2]["fields"].append({"name": "paid", "type": "BOOLEAN"})
        fields.append({"name": "came", "type": "DATE"})

    fields = patch(warehouse, dataset, grow)

    assert names(fields) == ["id", "person", "orders", "came"]
    assert names(fields[1]["fields"]) == ["name", "home", "zone", "age"]
    assert names(fields[1]["fields"][1]["fields"]) == ["street", "number"]
    assert names(fields[2]["fields"]) == ["no", "paid"]
    warehouse.query(
        f"insert into {dataset}.people (id, person, orders) values "
        "(2, struct('Bob', struct('y', 7), 'z', 3), [struct(1, true)])"
    )
    sql = f"select person.age, person.home.number, orders[offset(0)].paid as paid from {dataset}.people order by id"
    assert warehouse.query(sql) == [
        {"age": None, "number": None, "paid": None},
        {"age": "3", "number": "7", "paid": "true"},
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop(0), "Field id is missing in new schema"),
        (lambda fields: fields[1]["fields"].pop(0), "Field person.name is missing in new schema"),
        (lambda fields: fields[0].update(type="STRING"), "Field id has changed type from INTEGER to STRING"),
        (
            lambda fields: fields[1]["fields"][0].update(type="INTEGER"),
            "Field person.name has changed type from STRING to INTEGER",
        ),
        (
            lambda fields: fields[2].update(mode="NULLABLE"),
            "Field orders has changed mode from REPEATED to NULLABLE",
        ),
        (
            lambda fields: fields.append({"name": "must", "type": "STRING", "mode": "REQUIRED"}),
            "Cannot add required fields to an existing schema. (field: must)",
        ),
    ],
)
def test_a_patch_that_bigquery_refuses_changes_nothing(
    warehouse: Warehouse, dataset: str, change: Callable[[list[Json]], None], message: str
) -> None:
    """Fields may come and required ones become nullable; nothing else."""
    before = warehouse.table(dataset, "people")["schema"]

    with pytest.raises(AssertionError) as refused:
        patch(warehouse, dataset, change)

    assert f"Provided Schema does not match Table {warehouse.project}:{dataset}.people. {message}" in str(
        refused.value
    )
    assert warehouse.table(dataset, "people")["schema"] == before


def test_columns_come_and_go_in_one_statement(warehouse: Warehouse, dataset: str) -> None:
    """The ALTER TABLE that dbt writes for sync_all_columns."""
    warehouse.query(
        f"alter table {dataset}.people add column `sum` numeric(5, 2), add column spot struct<x int64, y int64>, "
        "drop column orders, drop column person"
    )

    assert names(warehouse.table(dataset, "people")["schema"]["fields"]) == ["id", "sum", "spot"]


def test_a_view_stays_when_its_table_is_gone(warehouse: Warehouse, dataset: str) -> None:
    """dbt and guards look at a view whose table somebody has dropped, and find it as it was made."""
    warehouse.query(f"create view {dataset}.seen as select id from {dataset}.people")

    warehouse.query(f"drop table {dataset}.people")

    view = warehouse.table(dataset, "seen")
    assert view["type"] == "VIEW"
    assert names(view["schema"]["fields"]) == ["id"]


def test_a_table_may_have_a_name_of_any_letters(warehouse: Warehouse, dataset: str) -> None:
    """Spaces and accents, as in an alias."""
    warehouse.query(f"create table {dataset}.`two words é` as select 1 as id")

    assert warehouse.dump(dataset)["two words é"]["rows"] == [{"id": "1"}]
