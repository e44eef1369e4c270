"""What the first words of a statement tell."""

from __future__ import annotations

import pytest

from cosmos_async.testing.sql import statement_type, statements


@pytest.mark.parametrize(
    ("sql", "kind", "target"),
    [
        ("select 1", "SELECT", ()),
        ("with a as (select 1) select * from a", "SELECT", ()),
        ("(select 1)", "SELECT", ()),
        ("", "SELECT", ()),
        ("/* x; */ -- y;\n# z;\nselect ';'", "SELECT", ()),
        ("create or replace table `p`.`d`.`t`\npartition by day\nas (\nselect 1)", "CREATE_TABLE_AS_SELECT", ("p", "d", "t")),
        ("create table d.t (as_of date)", "CREATE_TABLE", ("d", "t")),
        ("create table d.t (id int64) as (with a as (select 1) select * from a)", "CREATE_TABLE_AS_SELECT", ("d", "t")),
        ("CREATE TEMP TABLE t AS SELECT 1", "CREATE_TABLE_AS_SELECT", ("t",)),
        ("create materialized view if not exists `my-project.d.t` as select 1", "CREATE_MATERIALIZED_VIEW", ("my-project", "d", "t")),
        ("create schema if not exists `p`.`d`", "CREATE_SCHEMA", ("p", "d")),
        ("create or replace function d.f(x int64) as (x)", "CREATE_FUNCTION", ("d", "f")),
        ("drop view if exists d.v", "DROP_VIEW", ("d", "v")),
        ("alter table d.t add column c string", "ALTER_TABLE", ("d", "t")),
        ("merge into d.t as x using (select 1) on false when not matched then insert row", "MERGE", ("d", "t")),
        ("insert into `p.d.t` (a) (select 1)", "INSERT", ("p", "d", "t")),
        ("delete from d.t where true", "DELETE", ("d", "t")),
        ("update d.t set a = 1 where true", "UPDATE", ("d", "t")),
        ("truncate table d.t", "TRUNCATE_TABLE", ("d", "t")),
        ("export data options() as select 1", "EXPORT_DATA", ()),
        ("grant `roles/x` on schema d to 'a'", "GRANT", ()),
        ("call d.p()", "CALL", ()),
        ("declare x int64", "SCRIPT", ()),
    ],
)  # fmt: skip
def test_a_statement_is_known_by_its_first_words(sql: str, kind: str, target: tuple[str, ...]) -> None:
    found = statements(sql)

    assert statement_type(found) == kind
    assert [statement.target for statement in found] == ([target] if sql else [])


def test_several_statements_are_a_script() -> None:
    found = statements("create table d.t as select ';' as a; /* ; */ drop table d.u;")

    assert statement_type(found) == "SCRIPT"
    assert [(statement.type, statement.target) for statement in found] == [
        ("CREATE_TABLE_AS_SELECT", ("d", "t")),
        ("DROP_TABLE", ("d", "u")),
    ]
