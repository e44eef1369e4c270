"""
The shapes of dbt that the emulator cannot read as they are.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.testing.engine import EngineJob
from tests.warehouse.engine import is_read
from tests.warehouse.forgotten import forgotten
from tests.warehouse.grants import Grants
from tests.warehouse.partitions import names_a_partition
from tests.warehouse.rewrites import rewritten


def job(sql: str = "", **configuration: Any) -> EngineJob:
    """A job of project p."""
    return EngineJob("p", "id", "US", configuration or {"query": {"query": sql}}, "someone@example.com")


def test_a_struct_assigned_to_one_variable_becomes_its_only_field() -> None:
    """dbt's dynamic insert_overwrite finds the partitions to replace in this form."""
    sql = "set (replaced) = (\n  select as struct\n array_agg(distinct day IGNORE NULLS) from t\n);"

    assert rewritten(sql) == "set replaced = (select\n array_agg(distinct day IGNORE NULLS) from t\n);"


def test_what_the_emulator_understands_stays_as_it_is() -> None:
    """A rewrite that touches more than its gap would change what a user's SQL means."""
    sql = "select 'set (x) = (select 1)' as text, struct(1 as a) from t -- set (y)"

    assert rewritten(sql) == sql


def test_tables_that_are_found_by_a_pattern_come_in_order() -> None:
    """Of several datasets, too; what has an order keeps it, and so does whatever else asks for tables."""
    sql = "/* dbt */\n select distinct\n table_schema,\n table_name, 'table' as type\n from `p`.d.INFORMATION_SCHEMA.TABLES\n"

    assert rewritten(sql) == f"{sql.rstrip()}\norder by 1, 2"
    assert rewritten(f"{sql} union all {sql[9:]}").endswith("order by 1, 2")
    for same in (f"{sql} order by 2", sql.replace("distinct", ""), f"create view v as {sql[9:]}"):
        assert rewritten(same) == same


def test_an_alias_that_duckdb_reserves_is_called_otherwise_within_a_view() -> None:
    """dbt_utils' deduplicate in a view; a table, a literal and a column of that name stay."""
    view = "create or replace view v as select unique.* from (select array_agg(t)[offset(0)] unique from t)"

    assert rewritten(view) == view.replace("unique", "unique_")
    for same in (view.replace(" view ", " table "), "create view v as select 1 as unique, 'unique.'"):
        assert rewritten(same) == same


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("select 1", True),
        ("/* {'app': 'dbt'} */\n\n  with a as (select ';' as x) select * from a;", True),
        ("(select 1)", True),
        ("select 1; drop table t", False),
        ("create or replace table t as select 1", False),
        ("/* select */ merge into t using s on false", False),
    ],
)
def test_only_a_single_select_runs_beside_others(sql: str, reads: bool) -> None:
    """Everything else waits for its turn, as the emulator's commits may collide."""
    assert is_read(sql) is reads


def test_a_grant_shows_in_object_privileges_until_it_is_revoked() -> None:
    """dbt reads the view to find what to grant and what to revoke."""
    grants = Grants()
    view = "select * from `p`.`region-us`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES where object_name = 't'"

    granted = grants.run(job("grant `roles/viewer` on table `p`.`d`.`t` to \"user:a@b.c\", 'user:d@e.f';"))
    shown = grants.shown(view)
    revoked = grants.run(job('/* dbt */ revoke `roles/viewer` on table `p`.`d`.`t` from "user:a@b.c"'))

    assert granted is not None
    assert granted.statistics["query"]["statementType"] == "GRANT"
    assert "'p', 'd', 't', 'TABLE', 'roles/viewer', 'user:a@b.c'" in shown
    assert "user:d@e.f" in shown
    assert revoked is not None
    assert revoked.statistics["query"]["statementType"] == "REVOKE"
    assert "user:a@b.c" not in grants.shown(view)
    assert "user:d@e.f" in grants.shown(view)


def test_a_script_with_more_than_grants_is_left_to_the_emulator() -> None:
    """Its other statements must run; that the GRANT fails there is the smaller evil."""
    sql = 'grant `roles/viewer` on table `p`.`d`.`t` to "user:a@b.c"; drop table `p`.`d`.`t`'

    assert Grants().run(job(sql)) is None


def test_integer_partitions_are_read_from_the_statement() -> None:
    """The emulator remembers them as days."""
    sql = """
        create or replace table `p`.`d`.`t` partition by range_bucket(
            number, generate_array(0, 100, 10)) cluster by a as (select 1 as number);
        create table other partition by day as select 1
    """

    (found,) = forgotten(sql)

    assert found[:3] == ("p", "d", "t")
    limits = {"start": "0", "end": "100", "interval": "10"}
    assert found.changes["rangePartitioning"] == {"field": "number", "range": limits}
    assert found.changes["timePartitioning"] is None


@pytest.mark.parametrize(
    ("options", "interval", "enabled"),
    [
        ("", "1800000", True),
        ("options(enable_refresh=False, refresh_interval_minutes=60.0)", "3600000", False),
    ],
)
def test_a_materialized_view_keeps_its_refresh(options: str, interval: str, enabled: bool) -> None:
    """dbt fails on one without an interval."""
    (found,) = forgotten(f"create materialized view if not exists `p`.`d`.`mv` {options} as select 1 as x")

    view = {"enableRefresh": enabled, "refreshIntervalMs": interval, "query": "select 1 as x"}
    assert found == ("p", "d", "mv", {"materializedView": view})


def test_a_copy_job_of_partitions_is_told_from_one_of_tables() -> None:
    """Only the former becomes SQL."""
    whole = {"sourceTable": {"tableId": "a"}, "destinationTable": {"tableId": "b"}}
    parts = {"sourceTables": [{"tableId": "a$20240101"}], "destinationTable": {"tableId": "b$20240101"}}

    assert not names_a_partition(job(copy=whole))
    assert names_a_partition(job(copy=parts))
