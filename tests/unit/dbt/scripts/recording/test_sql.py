"""
What the recorder understands of SQL, and what it foretells.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.scripts.recording import effects, emptiness, sql
from cosmos_async.dbt.scripts.recording.fields import empty_query
from cosmos_async.dbt.scripts.recording.overlay import NotNow, Overlay
from cosmos_async.dbt.scripts.recording.uploads import Uploads

ID = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("/* dbt; */ select 1", True),
        ("with a as (select ';') select * from a;", True),
        ("-- a comment\n(select 1) union all (select 2)", True),
        ("select 1; drop table a", False),
        ("create or replace table a.b as select 1", False),
        ("merge into a.b using c on false when matched then delete", False),
        ("declare x int64; select x", False),
        ("call a.b()", False),
        ("grant `roles/x` on table a.b to 'user:a'", False),
        ("", False),
        ("from a.b |> where x > 1 |> aggregate count(*) |> order by 1", True),
        ("from a.b |> insert into a.c", False),
        ("select 1 |> create table a.c", False),
        ("execute immediate 'select 1'", False),
        ("begin select 1; end", False),
        ("here: begin select 1; end here", False),
        ("if true then select 1; end if", False),
        ("loop select 1; break; end loop", False),
        ("export data options(uri='gs://x/*') as select 1", False),
        ("assert (select true) as 'x'", False),
        ("load data into a.b from files (format='CSV')", False),
        ("set @@query_label = 'a:b'", False),
        ("# one\nselect 1 -- two;\n;", True),
        ("""select r'\\;', \"\"\"a;'b\"\"\" """, True),
    ],
)
def test_only_one_query_is_a_read(text: str, reads: bool) -> None:
    """Everything else counts as a write, which is not sent."""
    assert sql.is_read(text) is reads


@pytest.mark.parametrize(
    ("text", "none"),
    [
        ("create or replace table a.b as select 1;", True),
        ("/* dbt */ insert into a.b select 1", True),
        ("create temp function f() as (1); create or replace view a.b as select f()", True),
        ("merge into a.b using c on false when matched then delete;", True),
        ("truncate table a.b", True),
        ("grant `roles/x` on table a.b to 'user:a'", True),
        ("insert into a.b select 1; select 1", False),
        ("begin insert into a.b select 1; end", False),
        ("begin transaction; insert into a.b select 1; commit transaction", False),
        ("if true then insert into a.b select 1; end if", False),
        ("here: begin insert into a.b select 1; end", False),
        ("execute immediate 'insert into a.b select 1'", False),
        ("call a.b()", False),
        ("assert true", False),
        ("show tables", False),
        ("(select 1)", False),
        ("with a as (select 1) insert into a.b select 1", False),
        ("", False),
        ("-- nothing", False),
    ],
)
def test_only_what_defines_and_changes_has_no_rows_for_certain(text: str, none: bool) -> None:
    """Of anything else nobody knows, so templates that look at its rows are left to real dbt."""
    assert sql.gives_no_rows(text) is none


@pytest.mark.parametrize(
    ("text", "verb", "path"),
    [
        ("begin insert into a.b select 1; end", "write", ("a", "b")),
        ("here: begin insert into a.b select 1; end", "write", ("a", "b")),
        ("if (select count(*) from a.c) > 0 then insert into a.b select 1; end if", "write", ("a", "b")),
        ("if case when x then 1 else 2 end = 1 then drop table a.b; end if", "drop", ("a", "b")),
        ("while x < 3 do delete from a.b where true; end while", "write", ("a", "b")),
        ("for row in (select 1 from a.c) do update a.b set x = 1 where true; end for", "write", ("a", "b")),
        ("begin begin create table a.b (x int64); end; end", "create", ("a", "b")),
        ("load data into a.b from files (uris=['x'])", "write", ("a", "b")),
        ("load data overwrite a.b from files (uris=['x'])", "create", ("a", "b")),
        ("load data overwrite temp table b from files (uris=['x'])", "create", ("b",)),
        ("load data", "other", ()),
        ("begin", "other", ()),
        ("begin transaction", "other", ()),
        ("select case when x then 1 else 2 end", "read", ()),
        ("call a.b()", "other", ()),
    ],
)
def test_the_first_statement_of_a_block_is_seen(text: str, verb: str, path: tuple[str, ...]) -> None:
    """What a block does counts as what its node does, whatever stands before it."""
    found = effects.effect(sql.statements(text)[0])

    assert (found.verb, found.path) == (verb, path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "create or replace table `p`.`d`.`t` partition by d options(x=1) as (select 1);",
            "CREATE_TABLE_AS_SELECT",
        ),
        ("create table a.b (x int64)", "CREATE_TABLE"),
        ("create or replace view a.b as select 1", "CREATE_VIEW"),
        ("create schema if not exists `p`.`d`", "CREATE_SCHEMA"),
        ("/* x */ merge into a.b using c on false when matched then delete", "MERGE"),
        ("insert into a.b select 1", "INSERT"),
        ("alter table a.b set options()", "ALTER_TABLE"),
        ("drop table if exists a.b", "DROP_TABLE"),
        ("declare x int64; select 1", "SCRIPT"),
        ("select 1", "SELECT"),
    ],
)
def test_the_type_of_a_statement(text: str, kind: str) -> None:
    """In BigQuery's words, as dbt looks at them."""
    assert effects.statement_type(text) == kind


def test_the_query_of_a_created_table_is_found_behind_its_options() -> None:
    """Also where an option's text or a column is called like a keyword."""
    text = 'create or replace table `p.d.t` cluster by a OPTIONS(description="as select") as (select x as y from `p`.d.s)'

    what = effects.effect(sql.statements(text)[0])

    assert (what.verb, what.kind, what.path) == ("create", "TABLE", ("p", "d", "t"))
    assert what.body == "(select x as y from `p`.d.s)"


def test_a_table_that_does_not_exist_is_replaced_where_it_stands_as_a_table() -> None:
    """It keeps the name that the query calls it by."""
    subquery = "(select 1)"

    replaced = sql.substitute(
        "select t.a, `p.d.t` from `p`.`d`.`t` where 1=1 union all select a from p.d.t as u join `p.d.t` x using (a)",
        {("p", "d", "t"): subquery},
    )

    assert replaced == (
        "select t.a, `p.d.t` from (select 1) as `t` where 1=1 union all select a from (select 1) as u "
        "join (select 1) x using (a)"
    )


def test_an_empty_query_has_the_columns_it_was_given() -> None:
    """Nested and repeated ones included, legacy names or not."""
    fields = [
        {"name": "a", "type": "FLOAT"},
        {"name": "b", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "c", "type": "int64"}]},
    ]

    assert empty_query(fields) == (
        "(select cast(null as FLOAT64) as `a`, cast(null as ARRAY<STRUCT<`c` INT64>>) as `b` limit 0)"
    )


@pytest.mark.parametrize("more", ["", " limit 0", " and current_timestamp() = current_timestamp()\n limit 0"])
def test_dbt_s_question_for_columns_is_recognised(more: str) -> None:
    """As each version of dbt puts it."""
    assert sql.asks_for_columns_only(
        f"/* dbt */\nselect * from (\n select (1) as a\n) as __dbt_sbq\n where false{more}\n"
    )


def test_a_query_that_could_return_rows_is_not_taken_for_that() -> None:
    """Its rows may matter."""
    assert not sql.asks_for_columns_only("select * from (select 1) as __dbt_sbq where true limit 0")


def nothing(query: str) -> Any:
    """A dry run that BigQuery refuses."""
    return None


def overlay(**built: str) -> Overlay:
    """What a run knows that builds these relations of dataset `shop`."""
    made = Overlay("p")
    made.built = {("p", "shop", name): node for name, node in built.items()}
    return made


def write(made: Overlay, text: str, *, by: str, dry_run: Any = nothing, there: bool = False) -> None:
    """Note a statement that was recorded."""
    made.apply(text, by=by, dry_run=dry_run, exists=lambda path: there)


def test_columns_are_foretold_through_tables_that_do_not_exist_yet() -> None:
    """Each layer is asked for with the layer below as an empty subquery, and only when it is needed."""
    asked: list[str] = []

    def dry_run(query: str) -> Any:
        asked.append(query)
        return ID

    made = overlay()
    made.note(("p", "shop", "seed"), by="seed", columns=[{"name": "n", "type": "string"}])
    write(
        made,
        "create or replace view `p`.`shop`.`v` as select n as id from `p`.`shop`.`seed`;",
        by="v",
        dry_run=dry_run,
    )
    assert asked == []

    fields = made.foretell("select * from `p`.`shop`.`v`", dry_run)

    assert fields == ID
    assert asked == [
        "select n as id from (select cast(null as STRING) as `n` limit 0) as `seed`",
        "select * from (select cast(null as INT64) as `id` limit 0) as `v`",
    ]


def test_a_table_replaced_by_a_query_of_itself_is_foretold_from_what_it_was() -> None:
    """What a statement reads is what was there when it was written, whoever asks how much later."""
    asked: list[str] = []

    def dry_run(query: str) -> Any:
        asked.append(query)
        return [{"name": "id", "type": "STRING"}]

    made = overlay()
    made.note(("p", "shop", "t"), by="seed", columns=ID)
    write(
        made,
        "create or replace table p.shop.t as select cast(id as string) as id from p.shop.t",
        by="n",
        dry_run=dry_run,
    )
    write(made, "create view p.shop.v as select * from p.shop.w", by="n", dry_run=dry_run)
    write(made, "create or replace table p.shop.w as select * from p.shop.t", by="n", dry_run=dry_run)

    for name in ("t", "v"):
        change = made.change(("p", "shop", name))
        assert change is not None
        assert change.columns() == [{"name": "id", "type": "STRING"}]
    assert asked == [
        "select cast(id as string) as id from (select cast(null as INT64) as `id` limit 0) as `t`",
        "select * from p.shop.w",
    ]


def test_what_cannot_be_foretold_makes_nothing_up() -> None:
    """A table created with no query, or dropped."""
    made = overlay()
    write(made, "create table p.shop.a (x int64); drop table p.shop.b", by="n")

    assert made.foretell("select * from p.shop.a", lambda query: ID) is None
    assert made.foretell("select * from p.shop.b", lambda query: ID) is None
    assert made.foretell("select * from p.shop.c", lambda query: ID) == ID


def test_rows_that_this_run_builds_are_not_read_before() -> None:
    """The reason names the relation and the node."""
    made = overlay(orders="model.shop.orders")

    why = made.why_not_now("select max(d) from `p`.`shop`.`orders`", reader="model.shop.pivot")

    assert why == NotNow(
        "Its SQL depends on the rows of p.shop.orders, which this run builds first (model.shop.orders).",
        late=True,
    )


def test_a_node_may_read_its_own_table_as_long_as_it_has_not_written_it() -> None:
    """An incremental model asks its table for the newest row."""
    made = overlay(orders="model.shop.orders")
    text = "select max(d) from shop.orders"

    before = made.why_not_now(text, reader="model.shop.orders")
    write(made, "insert into `p`.shop.orders select 1", by="model.shop.orders")
    after = made.why_not_now(text, reader="model.shop.orders")

    assert before is None
    assert after == NotNow(
        "Its SQL depends on the rows of p.shop.orders, which it writes itself.", late=False
    )


@pytest.mark.parametrize(
    ("table", "refused"),
    [
        ("shop.INFORMATION_SCHEMA.TABLES", True),
        ("`p.shop.INFORMATION_SCHEMA.TABLES`", True),
        ("`region-eu`.INFORMATION_SCHEMA.TABLES", True),
        ("other.INFORMATION_SCHEMA.TABLES", False),
        ("`p.shop.ord_*`", True),
        ("`p.shop.customers_*`", False),
        ("p.raw.events", False),
    ],
)
def test_metadata_and_wildcards_are_read_only_where_this_run_changes_nothing(
    table: str, refused: bool
) -> None:
    """An empty answer of today would be taken for the truth of tonight."""
    made = overlay(ord_1="model.shop.ord_1")

    assert (made.why_not_now(f"select * from {table}", reader="n") is not None) is refused


def test_metadata_of_what_a_node_writes_itself_stays_with_real_dbt() -> None:
    """Others' changes are there once it is the node's turn; its own are not, unless it really makes them."""
    made = overlay(orders="model.shop.orders", lines="model.shop.lines")
    text = "select table_name from shop.INFORMATION_SCHEMA.TABLES"
    before = made.why_not_now(text, reader="model.shop.orders")

    write(made, "create table p.shop.orders (a int64)", by="model.shop.orders")
    after = made.why_not_now(text, reader="model.shop.orders")

    assert before is not None
    assert before.late
    assert after is not None
    assert not after.late


def test_once_the_nodes_before_it_are_built_a_node_reads_what_it_likes() -> None:
    """Only what it has written itself is still to come."""
    made = Overlay("p", late=True)
    made.built = {("p", "shop", "orders"): "model.shop.orders"}
    metadata, rows = "select * from shop.INFORMATION_SCHEMA.TABLES", "select max(d) from shop.orders"

    assert made.why_not_now(metadata, reader="model.shop.orders") is None
    assert made.why_not_now(rows, reader="model.shop.orders") is None
    write(made, "insert into shop.orders select 1", by="model.shop.orders")
    assert made.why_not_now(metadata, reader="model.shop.orders") is not None
    assert made.why_not_now(rows, reader="model.shop.orders") is not None


def test_a_projects_view_of_metadata_speaks_of_all_its_datasets() -> None:
    """`project.INFORMATION_SCHEMA.SCHEMATA` has the datasets that this run makes; another project's has none."""
    made = overlay(orders="model.shop.orders")

    why = made.why_not_now("select * from `p`.INFORMATION_SCHEMA.SCHEMATA", reader="model.shop.other")

    assert why is not None
    assert why.late
    assert (
        made.why_not_now("select * from `q`.INFORMATION_SCHEMA.SCHEMATA", reader="model.shop.other") is None
    )


def test_what_a_node_writes_itself_counts_before_what_others_write() -> None:
    """A query over both can never be asked before the node runs."""
    made = overlay(a="model.shop.a", z="model.shop.z")
    write(made, "insert into shop.z select 1", by="model.shop.z")

    why = made.why_not_now("select * from shop.a join shop.z using (id)", reader="model.shop.z")

    assert why is not None
    assert not why.late
    assert "p.shop.z, which it writes itself" in why.reason


def test_creating_what_is_there_changes_nothing() -> None:
    """`if not exists` on a table that exists."""
    made = overlay()
    write(made, "create table if not exists p.shop.audit (a int64)", by="hook", there=True)

    assert made.change(("p", "shop", "audit")) is None


def test_an_upload_in_chunks_is_kept_whole(tmp_path: Any) -> None:
    """Large seeds come in several requests, whose total is told by the last."""
    uploads = Uploads(str(tmp_path / "uploads"))
    address = uploads.begin(
        {"configuration": {}}, "http://g/upload/bigquery/v2/projects/p/jobs?uploadType=resumable"
    )

    first = uploads.receive(address, b"abc", {"content-range": "bytes 0-2/*"})
    last = uploads.receive(address, b"de", {"Content-Range": "bytes 3-4/5"})

    assert first == (3, None)
    assert last == (5, ({"configuration": {}}, b"abcde"))
    assert (tmp_path / "uploads" / uploads.keep(b"abcde")).read_bytes() == b"abcde"


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (
            "create or replace table `p`.`d`.`t` (`a` INT64, b STRUCT<`x` INT64, `y` ARRAY<STRING>>, c NUMERIC(10, 2)) "
            "partition by _PARTITIONDATE OPTIONS()",
            "select cast(null as INT64) as `a`, cast(null as STRUCT<`x` INT64, `y` ARRAY<STRING>>) as `b`, "
            "cast(null as NUMERIC(10, 2)) as `c`",
        ),
        ("create table t (a int64 not null)", None),
        ("create table t (a int64 options (description = 'x'))", None),
        ("create table t (a int64) as select 1 as a", "select 1 as a"),
        (
            "alter table `p`.`d`.`t` add column `more` STRUCT<a INT64, b STRING>, drop column `gone`",
            "select * except (`gone`), cast(null as STRUCT<a INT64, b STRING>) as `more` from `p`.`d`.`t`",
        ),
        ("alter table t drop column a, drop column b", "select * except (`a`, `b`) from t"),
        ("alter table t add column if not exists a int64", None),
        ("alter table t rename column a to b", None),
        ("alter table t alter column a set data type int64", None),
    ],
)
def test_columns_that_a_statement_declares_or_changes_become_a_query(text: str, shape: str | None) -> None:
    """A dry run tells their types; whatever else a statement says of columns is not guessed at."""
    assert effects.effect(sql.statements(text)[0]).shape == shape


def test_an_altered_table_is_foretold_from_what_it_was_before() -> None:
    """The next reader gets its new columns, though nothing was sent."""
    overlay = Overlay("p")
    asked: list[str] = []

    def dry_run(query: str) -> Any:
        asked.append(query)
        return [{"name": "a", "type": "INTEGER"}]

    overlay.apply("alter table p.d.t drop column b", by="n", dry_run=dry_run, exists=lambda path: True)

    change = overlay.change(("p", "d", "t"))
    assert change is not None
    assert change.columns() == [{"name": "a", "type": "INTEGER"}]
    assert asked == ["select * except (`b`) from p.d.t"]


def test_rows_that_a_copy_writes_are_written_by_its_node() -> None:
    """The table keeps its shape."""
    overlay = Overlay("p")
    overlay.wrote(("p", "d", "t"), by="n")

    assert overlay.change(("p", "d", "t")) is None
    assert overlay.writer(("d", "t"), reader="m") == "n"


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("select * from (select 1 as id) as made where 1 = 0", True),
        ("(\n  select * from (select 1 as id) where false and id > 1 order by id\n)", True),
        ("with a as (select 1 as id) select * from a where 1=0", True),
        ("select count(*) as n from d.any group by 1 limit 0", True),
        ("select * from p.d.nothing", True),
        ("select * from p.d.nothing where id > 1", True),
        ("select * from p.d.nothing, d.any", False),
        ("select * from d.any join p.d.nothing using (id)", False),
        ("with `p.d.nothing` as (select 1) select * from `p.d.nothing`", False),
        ("select * from d.any", False),
        ("select * from d.any where 1 = 1", False),
        ("select * from d.any where 1 = 0 or true", False),
        ("select * from d.any where false is not true", False),
        ("select * from d.any where 1 = 0 union all select 1", False),
        ("select * from d.any where not false", False),
        ("select count(*) from d.any where false", False),
        ("select * from d.any where false |> aggregate count(*)", False),
        ("select * from d.any limit 0 offset 1", False),
        ("(select * from d.any limit 0) union all (select 1)", False),
        ("select 1; select * from d.any limit 0", False),
        ("", False),
    ],
)
def test_a_query_without_rows_is_known_by_its_text(text: str, empty: bool) -> None:
    """What could have a row has one."""
    assert emptiness.has_no_rows(text, {("p", "d", "nothing")}.__contains__) is empty


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("insert into d.t (id, name) (select * from p.d.nothing)", True),
        ("insert d.t select * from d.any where 1 = 0", True),
        ("insert into d.t (select * from d.any limit 0)", True),
        ("insert into d.t (id) values (1)", False),
        ("insert into d.t select * from d.any", False),
        (
            "merge into d.t as a using (select * from p.d.nothing) as b on a.id = b.id when not matched then insert row",
            True,
        ),
        ("merge d.t using p.d.nothing as b on false when not matched then insert row", True),
        (
            "merge into d.t using (select * from p.d.nothing) on false when not matched by source then delete",
            False,
        ),
        ("merge into d.t using (select * from d.any) on false when matched then delete", False),
        ("delete from d.t where false", False),
    ],
)
def test_putting_nothing_into_a_table_leaves_it_as_it_is(text: str, nothing: bool) -> None:
    """Unless the statement says what becomes of rows that nothing was put beside."""
    statement = sql.statements(text)[0]
    assert emptiness.changes_nothing(statement, {("p", "d", "nothing")}.__contains__) is nothing


def test_a_table_made_without_rows_is_read_before_it_is_made() -> None:
    """Until something is written into it, what it will answer is known."""
    overlay = Overlay("p")
    overlay.built[("p", "d", "own")] = "model.own"
    dry_runs: list[str] = []

    def dry_run(query: str) -> Any:
        dry_runs.append(query)
        return ID

    def apply(script: str) -> None:
        overlay.apply(script, by="model.own", dry_run=dry_run, exists=lambda path: False)

    question = "select id from `p`.`d`.`own` order by id"
    apply("create or replace table `p`.`d`.`own` as (select * from (select 1 as id) where 1 = 0)")
    apply(
        "merge into `p`.`d`.`own` using (select * from `p`.`d`.`own`) on false when not matched then insert row"
    )
    assert overlay.why_not_now(question, reader="model.own") is None
    assert overlay.without_rows(question) == f"select id from {empty_query(ID)} as `own` order by id"
    apply("insert into `p`.`d`.`own` select 1")
    why = overlay.why_not_now(question, reader="model.own")
    assert why == NotNow("Its SQL depends on the rows of p.d.own, which it writes itself.", late=False)
    assert overlay.without_rows(question) == question


def test_a_table_into_which_nothing_was_put_is_read_as_it_is() -> None:
    """Its rows are still those that the warehouse tells."""
    overlay = Overlay("p")
    overlay.built[("p", "d", "own")] = "model.own"
    for script in (
        "create or replace table p.d.new as (select * from (select 1 as id) limit 0)",
        "merge into p.d.own using (select * from p.d.new) as s on s.id = own.id when matched then update set id = 1",
        "drop table p.d.new",
    ):
        overlay.apply(script, by="model.own", dry_run=lambda query: ID, exists=lambda path: True)
    assert overlay.why_not_now("select id from p.d.own", reader="model.own") is None
    assert overlay.without_rows("select id from p.d.own") == "select id from p.d.own"
    assert overlay.why_not_now("select id from p.d.new", reader="model.own") is not None
