"""
From a recording to a plan: what is a guard, what an operation, what comes first, and what is left to dbt.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.planner.planner import Plan, make_plan, plan_nodes
from cosmos_async.exceptions import PlanError
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    Hook,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    dump_index,
    dump_node,
    load_index,
    load_node,
)
from cosmos_async.triggers.jobs.steps import fits, project

ORDERS = "model.shop.orders"


def node(unique_id: str = ORDERS, **values: Any) -> dict[str, Any]:
    """A node as the recorder describes it."""
    kind, package, name = unique_id.split(".")[:3]
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": name,
        "fqn": [package, name],
        "file": f"models/{name}.sql",
        "materialized": "table",
        "ephemeral": False,
        "relation": ["p", "shop", name],
        "compiled_code": "select 1",
        "depends_on": [],
        "attached_node": None,
        "status": "success",
        "message": "CREATE TABLE (0.0 rows, 0 processed)",
        "main_job": "main",
        **values,
    }


def test_node(unique_id: str, *, parents: list[str], **values: Any) -> dict[str, Any]:
    """A data test as the recorder describes it."""
    rule = {"severity": "error", "warn_if": "!= 0", "error_if": "!= 0"}
    return node(
        unique_id,
        depends_on=parents,
        relation=None,
        materialized="test",
        status="pass",
        message=None,
        test=rule,
        **values,
    )


test_node.__test__ = False  # type: ignore[attr-defined]


def job(
    job_id: str = "main", sql: str = "create or replace table p.shop.orders as select 1", **values: Any
) -> Any:
    """A job that was recorded and not sent."""
    return {
        "event": "job",
        "phase": "run",
        "macros": [],
        "job_id": job_id,
        "project": "p",
        "location": "EU",
        "configuration": {"query": {"query": sql, "useLegacySql": False}, "labels": {"a": "b"}},
        "kind": "CREATE_TABLE_AS_SELECT",
        "rows": False,
        **values,
    }


def read(event: str, **values: Any) -> dict[str, Any]:
    """Something that was read."""
    return {"event": event, "phase": "run", "macros": [], "predicted": False, **values}


def relation(state: str = "absent", path: tuple[str, str, str] = ("p", "shop", "orders")) -> dict[str, Any]:
    """What dbt's cache said of a relation."""
    return read("relation", path=list(path), state=state)


def columns(name: str, kind: str = "INTEGER") -> dict[str, Any]:
    """A table's resource, as far as it is recorded."""
    return {"type": "TABLE", "schema": {"fields": [{"name": name, "type": kind}]}}


def rows(values: list[str], *, total: int | None = None, ordered: bool = True) -> dict[str, Any]:
    """A query that was sent and answered."""
    query = {"query": "/* dbt */ select distinct kind from p.raw.events", "useLegacySql": False}
    return read(
        "rows",
        request={"project": "p", "location": "EU", "configuration": {"query": query}},
        ordered=ordered,
        total=len(values) if total is None else total,
        pages={"": [{"f": [{"v": value}]} for value in values]},
    )


def describing(*names: str) -> dict[str, Any]:
    """Columns that dbt describes."""
    said = {name: {"description": f"The {name}."} for name in names}
    payload = {"columns": said, "checked": True}
    return read("native", kind="update_columns", path=["p", "shop", "orders"], payload=payload)


def recording(*nodes: dict[str, Any], events: dict[str, list[Any]], **values: Any) -> dict[str, Any]:
    """A recording of these nodes."""
    run = {"on_run_start": [], "on_run_end": 0, "listings": {"p.shop": {}}, "built": [], "parents": {}}
    for each in nodes:
        if each["resource_type"] != "test":
            run["parents"][each["unique_id"]] = each["depends_on"]
    run.update(values.pop("run", {}))
    return {
        "format": 1,
        "dbt_version": "1.11.16",
        "adapter_version": "1.12.1",
        "invocation_id": "i",
        "project_name": "shop",
        "target_name": "dev",
        "execution_project": "p",
        "location": "EU",
        "endpoint": None,
        "fail_fast": False,
        "warn_error": False,
        "run": run,
        "nodes": {each["unique_id"]: each for each in nodes},
        "events": events,
        "flags": {},
        **values,
    }


def plan(recorded: dict[str, Any], **options: Any) -> Plan:
    """Make the plan."""
    return make_plan(
        recorded, dag_id="d", run_id="r", created_at="2026-01-01", host="h", uploads=Path("up"), **options
    )


def plan_of(*events: Any, **values: Any) -> NodePlan:
    """The plan of one model with these events."""
    return plan(recording(node(**values), events={ORDERS: list(events)})).nodes[ORDERS]


def kinds(made: NodePlan) -> list[str]:
    """What the steps of a plan are."""
    return [step.kind.value if isinstance(step, Guard) else step.purpose for step in made.steps]


def test_a_model_without_reads_is_static_behind_its_target_s_state() -> None:
    """The one guard that is always there does not make a node more than static."""
    made = plan_of(relation("absent"), job())

    assert (made.level, made.reason) == (Level.STATIC, "")
    assert kinds(made) == ["target_state", "main"]
    assert made.steps[0] == Guard(
        GuardKind.TARGET_STATE,
        "p.shop.orders",
        {"project": "p", "dataset": "shop", "table": "orders"},
        "absent",
    )
    main = made.steps[1]
    assert isinstance(main, JobOperation)
    assert main.main
    assert (main.project, main.location) == ("p", "EU")
    assert main.configuration["labels"] == {"a": "b"}


def test_the_target_s_state_comes_from_the_listing_where_nothing_asked_for_it() -> None:
    """A custom materialization may never look; a plan for another state must still not be carried out."""
    recorded = recording(node(), events={ORDERS: [job()]}, run={"listings": {"p.shop": {"orders": "VIEW"}}})

    first = plan(recorded).nodes[ORDERS].steps[0]

    assert isinstance(first, Guard)
    assert first.expected == "VIEW"


def test_a_target_nobody_looked_at_is_left_to_dbt() -> None:
    """Without a listing of its dataset there is nothing to compare with."""
    recorded = recording(node(), events={ORDERS: [job()]}, run={"listings": {}})

    assert plan(recorded).nodes[ORDERS].level is Level.DBT


def test_a_read_is_a_guard_where_it_was_made() -> None:
    """Between the operations, so that it sees what they did."""
    made = plan_of(
        relation("TABLE"),
        read("table", path=["p", "shop", "orders"], answer=columns("id")),
        job("tmp", "create or replace table p.shop.orders__dbt_tmp as select 1"),
        read("table", path=["p", "shop", "orders"], answer=columns("id")),
        job("main", "merge into p.shop.orders using p.shop.orders__dbt_tmp on false", kind="MERGE"),
    )

    assert kinds(made) == ["target_state", "table", "create temporary table", "table", "main"]
    assert made.level is Level.GUARDED
    assert made.reason == "It reads the columns of p.shop.orders."


def test_the_same_read_twice_in_a_row_is_one_guard() -> None:
    """Nothing happened between them that could change the answer."""
    look = read("table", path=["p", "shop", "orders"], answer=columns("id"))

    assert kinds(plan_of(relation("TABLE"), look, look, relation("TABLE"), job())) == [
        "target_state",
        "table",
        "main",
    ]


@pytest.mark.parametrize(
    ("what", "path", "where"),
    [
        ("tables", ["p", "raw"], {"project": "p", "dataset": "raw"}),
        ("datasets", ["p"], {"project": "p"}),
    ],
)
def test_what_is_listed_is_listed_again(what: str, path: list[str], where: dict[str, str]) -> None:
    """But for names that the run may add meanwhile, and dbt's temporary tables for them."""
    found = {"orders": "TABLE", "shown": "VIEW", "ours": "TABLE", "ours__dbt_tmp": "TABLE"}
    listing = read("listing", what=what, path=path, answer=found, ignored=["ours"])

    made = plan_of(relation("absent"), listing, job())

    assert (made.level, made.reason) == (Level.GUARDED, f"It lists the {what} of {'.'.join(path)}.")
    assert made.steps[1] == Guard(
        GuardKind.LISTING,
        f"the {what} of {'.'.join(path)}",
        {"what": what, **where, "ignored": ["ours"]},
        {"orders": "TABLE", "shown": "VIEW"},
    )


def test_foretold_columns_are_looked_at_by_a_dry_run() -> None:
    """Only the columns were foretold, so only they are compared."""
    foretold = read(
        "table", path=["p", "shop", "orders__dbt_tmp"], answer=columns("id", "int64"), predicted=True
    )

    guard = plan_of(relation("TABLE"), job("tmp"), foretold, job()).steps[2]

    assert isinstance(guard, Guard)
    assert (guard.kind, guard.predicted) == (GuardKind.SCHEMA, True)
    assert guard.expected == [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]
    assert guard.request == {
        "project": "p",
        "location": "EU",
        "configuration": {
            "dryRun": True,
            "query": {"query": "select * from `p.shop.orders__dbt_tmp`", "useLegacySql": False},
        },
    }


def test_rows_are_compared_in_order_only_where_the_query_asks_for_one() -> None:
    """BigQuery gives an unordered result in any order."""
    ordered, unordered = rows(["b", "a"]), rows(["b", "a"], ordered=False)

    first = plan_of(ordered, relation(), job()).steps[1]
    second = plan_of(unordered, relation(), job()).steps[1]

    assert isinstance(first, Guard)
    assert isinstance(second, Guard)
    assert (first.subject, first.expected) == ("select distinct kind from p.raw.events", [["b"], ["a"]])
    assert (second.expected, second.request["ordered"]) == ([["a"], ["b"]], False)


def test_a_result_that_was_read_in_part_is_left_to_dbt() -> None:
    """What was not read cannot be compared."""
    made = plan_of(rows(["a"], total=5), relation(), job())

    assert made.level is Level.DBT
    assert made.reason == "It reads only a part of the rows of select distinct kind from p.raw.events."


def test_reads_behind_the_last_write_are_guards() -> None:
    """A post-hook that finds a queue empty writes nothing, and dbt would if it were not; asked before the write as well."""
    made = plan_of(relation(), job(), rows(["0"]))

    assert kinds(made) == ["target_state", "rows", "main", "rows"]
    assert [step.early for step in made.steps if isinstance(step, Guard)] == [False, True, False]


def test_a_node_that_has_nothing_to_do_is_asked_again_whether_it_has() -> None:
    """A materialization of one's own may load what is new, and find nothing before the run; also by what is assumed."""
    made = plan_of({**rows([]), "assumed": "The run builds it first."})

    assert kinds(made) == ["rows"]
    assert (made.level, made.assumed) == (Level.GUARDED, True)


def test_what_is_planned_at_its_turn_and_writes_nothing_is_not_asked_again() -> None:
    """dbt has read just then, and once; behind a write it would read what that has made."""
    writing = recording(node(), events={ORDERS: [relation(), job(), rows(["0"])]})
    idle = recording(node(), events={ORDERS: [relation(), rows(["0"])]})

    assert kinds(plan_nodes(writing, uploads=Path())[0][ORDERS]) == ["target_state", "rows", "main", "rows"]
    assert kinds(plan_nodes(idle, uploads=Path())[0][ORDERS]) == []


def test_the_columns_of_a_result_are_compared_as_well() -> None:
    """A template may ask for a query's columns alone, and for no rows."""
    schema = {"fields": [{"name": "id", "type": "INT64"}]}
    (guard,) = plan_of({**rows([]), "schema": schema}).steps
    assert isinstance(guard, Guard)

    same, more = (
        {"rows": [], "schema": schema},
        {"fields": [*schema["fields"], {"name": "tax", "type": "INT64"}]},
    )

    assert fits(guard, project(guard, same), late=False)
    found = project(guard, {"rows": [], "schema": more})
    assert not fits(guard, found, late=True)
    assert found == {"columns": ["id INT64", "tax INT64"], "rows": []}


@pytest.mark.parametrize("predicted", [False, True])
def test_whether_a_column_may_be_null_is_no_part_of_a_result(predicted: bool) -> None:
    """What was foretold is asked of an empty table that stands for the real one."""
    schema = {
        "fields": [{"name": "id", "type": "INT64"}, {"name": "all", "type": "STRING", "mode": "REPEATED"}]
    }
    (guard,) = plan_of({**rows([]), "schema": schema, "predicted": predicted}).steps
    assert isinstance(guard, Guard)
    required = {"fields": [{**schema["fields"][0], "mode": "REQUIRED"}, schema["fields"][1]]}
    other = {"fields": [schema["fields"][0], {"name": "all", "type": "STRING"}]}

    assert fits(guard, project(guard, {"rows": [], "schema": required}), late=False)
    assert not fits(guard, project(guard, {"rows": [], "schema": other}), late=False)


@pytest.mark.parametrize("selected", [True, False])
def test_an_ephemeral_model_that_changes_something_is_refused(selected: bool) -> None:
    """dbt compiles it once; no task, or each that reads it, would do the same."""
    thin = "model.shop.thin"
    more = node(thin, ephemeral=True, main_job=None)
    ephemerals = {} if selected else {thin: {"name": "thin", "depends_on": []}}
    recorded = recording(
        node(depends_on=[thin]),
        *([more] if selected else []),
        events={thin: [rows([]), job()], ORDERS: [relation(), job()]},
        ephemerals=ephemerals,
    )

    with pytest.raises(PlanError, match="thin is ephemeral and may change something"):
        plan(recorded)


def test_reads_of_an_ephemeral_model_that_is_not_selected_are_all_its_children_s() -> None:
    """dbt compiles it once, for the first of them."""
    other, thin = "model.shop.other", "model.shop.thin"
    recorded = recording(
        node(depends_on=[thin]),
        node(other, depends_on=[thin]),
        events={thin: [rows(["a"])], ORDERS: [rows(["a"]), relation(), job()], other: [relation(), job()]},
        ephemerals={thin: {"name": "thin", "depends_on": []}},
    )

    nodes = plan(recorded).nodes

    assert "rows" in kinds(nodes[other])
    assert kinds(nodes[ORDERS]).count("rows") == 1


def test_an_ephemeral_model_s_reads_are_its_children_s() -> None:
    """dbt compiles it once; whatever it read is in the SQL of all of them."""
    thin, thinner = "model.shop.thin", "model.shop.thinner"
    recorded = recording(
        node(depends_on=[thin]),
        node(thin, ephemeral=True, depends_on=[thinner], main_job=None),
        node(thinner, ephemeral=True, main_job=None),
        events={ORDERS: [relation(), job()], thinner: [rows(["a"])]},
    )

    made = plan(recorded)

    assert kinds(made.nodes[ORDERS]) == ["target_state", "rows", "main"]
    assert set(made.nodes) == {ORDERS}


def test_hooks_are_told_apart_by_the_main_statement() -> None:
    """The log calls them as the user does."""
    hook = {"macros": ["run_hooks"], "kind": "INSERT"}

    assert kinds(plan_of(relation(), job("a", **hook), job(), job("b", **hook))) == [
        "target_state",
        "pre-hook",
        "main",
        "post-hook",
    ]


def test_a_flagged_node_is_left_to_dbt_without_a_step() -> None:
    """What was recorded before the flag is dbt's to do as well."""
    recorded = recording(node(), events={ORDERS: [relation(), job()]}, flags={ORDERS: "It has grants."})

    made = plan(recorded).nodes[ORDERS]

    assert (made.level, made.reason, made.steps) == (Level.DBT, "It has grants.", ())


def test_a_node_dbt_could_not_compile_says_what_dbt_said() -> None:
    """It fails at its own task, in dbt's words; the others are planned."""
    made = plan_of(status="error", message="Compilation Error in model orders", main_job=None)

    assert made.level is Level.DBT
    assert made.reason.endswith("Compilation Error in model orders")


def test_an_event_nobody_knows_is_left_to_dbt() -> None:
    """A newer recorder may see more than this planner understands."""
    assert plan_of(relation(), {"event": "unknown", "macros": []}, job()).level is Level.DBT


def test_a_seed_loads_its_kept_bytes_and_says_what_dbt_says() -> None:
    """Its message comes from the file, not from a job."""
    seed = "seed.shop.codes"
    drop = {
        "event": "call",
        "macros": [],
        "method": "DELETE",
        "path": "projects/p/datasets/shop/tables/codes",
        "body": None,
        "missing_ok": True,
    }
    load = job("load", kind="load", configuration={"load": {"skipLeadingRows": "1"}}, upload="abc")
    response = {"_message": "INSERT 3", "code": "INSERT", "rows_affected": 3}
    described = node(seed, message="INSERT 3", adapter_response=response, main_job=None)
    made = plan(recording(described, events={seed: [relation("TABLE", ("p", "shop", "codes")), drop, load]}))

    steps = made.nodes[seed].steps

    assert steps[1] == CallOperation("drop", "DELETE", drop["path"], None, True)
    assert isinstance(steps[2], JobOperation)
    assert (steps[2].upload, steps[2].upload_digest) == ("plan/uploads/abc", "abc")
    assert made.uploads == {"abc": Path("up/abc")}
    assert (made.nodes[seed].message, made.nodes[seed].response) == ("INSERT 3", response)


def test_a_missing_dataset_is_created_by_each_node_that_writes_there_but_once() -> None:
    """They share the job's name; a node that only reads there leaves it to the others."""
    create = job("c", "create schema if not exists `p`.`shop`", kind="CREATE_SCHEMA", dataset="p.shop")
    test = "test.shop.unique_orders"
    recorded = recording(
        node(),
        test_node(test, parents=[ORDERS]),
        events={"": [create], ORDERS: [relation(), job()], test: [job(rows=True, kind="SELECT")]},
        run={"listings": {}},
    )

    made = plan(recorded)

    second = made.nodes[ORDERS].steps[1]
    assert isinstance(second, JobOperation)
    assert (second.purpose, second.shared) == ("create schema", "create_schema:p.shop")
    assert kinds(made.nodes[test]) == ["test"]
    # And before the first node, whether one that writes there is skipped then or not.
    assert made.prelude == (second,)


def test_on_run_start_comes_once_before_all_nodes_and_after_the_datasets() -> None:
    """Hooks write into datasets that may be missing."""
    hook = {
        "unique_id": "operation.shop.hook",
        "name": "shop.on-run-start.1",
        "file": "dbt_project.yml",
        "error": None,
    }
    create = job("c", "create schema if not exists `p`.`shop`", kind="CREATE_SCHEMA", dataset="p.shop")
    recorded = recording(
        node(),
        events={"": [create], "operation.shop.hook": [job("h", "create table x (a int64)")], ORDERS: [job()]},
        run={"on_run_start": [hook]},
    )

    shared = [step.shared for step in plan(recorded).prelude if isinstance(step, JobOperation)]

    assert shared == ["create_schema:p.shop", "on_run_start:0.0"]


def table(name: str = "events", **values: Any) -> dict[str, Any]:
    """The columns of a table that dbt has read."""
    return read("table", path=["p", "raw", name], answer=columns("id"), **values)


def test_what_is_asked_behind_a_write_is_asked_before_it_as_well() -> None:
    """So a difference that setup could not know is met while it costs nothing; in its place it is asked nevertheless."""
    hook = job("hook", "insert into p.shop.audit select 1", kind="INSERT")
    events = {ORDERS: [relation("TABLE"), hook, table(), job("second", kind="INSERT"), table(), job()]}

    steps = plan(recording(node(), events=events)).nodes[ORDERS].steps

    assert [(type(step), getattr(step, "early", None)) for step in steps] == [
        (Guard, False),
        (Guard, True),
        (JobOperation, None),
        (Guard, False),
        (JobOperation, None),
        (Guard, False),
        (JobOperation, None),
    ]
    assert steps[1] == replace(steps[3], early=True)


@pytest.mark.parametrize(
    "events",
    [
        [table(predicted=True), job()],  # its answer comes with the writes
        [job()],
    ],
)
def test_what_comes_of_the_writes_is_asked_in_its_place_alone(events: list[Any]) -> None:
    """And so is what was asked before the first write."""
    hook = job("hook", "insert into p.shop.audit select 1", kind="INSERT")
    recorded = recording(node(), events={ORDERS: [relation("TABLE"), table("sources"), hook, *events]})

    steps = plan(recorded).nodes[ORDERS].steps

    assert [step for step in steps if isinstance(step, Guard) and step.early] == []


DROP = {
    "event": "call",
    "macros": [],
    "method": "DELETE",
    "path": "projects/p/datasets/shop/tables/old",
    "body": None,
    "missing_ok": True,
}


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        (DROP, None, "It sends DELETE projects/p/datasets/shop/tables/old."),
        (None, "Database Error: no such macro", "no such macro"),
    ],
    ids=["it drops", "it fails"],
)
def test_a_run_hook_that_is_not_static_is_refused_by_its_name(
    event: Any, error: str | None, says: str
) -> None:
    """Before anything is submitted, with the way out."""
    hook = {
        "unique_id": "operation.shop.hook",
        "name": "shop.on-run-start.1",
        "file": "dbt_project.yml",
        "error": error,
    }
    events = {"operation.shop.hook": [event] if event else []}

    with pytest.raises(PlanError, match=r"shop\.on-run-start\.1") as raised:
        plan(recording(node(), events=events, run={"on_run_start": [hook]}))

    assert says in str(raised.value)
    assert "dbt run-operation" in str(raised.value)


def test_what_a_run_hook_reads_is_looked_at_again_before_it_writes() -> None:
    """Its part of the prelude is known, for its own result."""
    hook = {
        "unique_id": "operation.shop.hook",
        "name": "shop.on-run-start.0",
        "file": "dbt_project.yml",
        "error": None,
    }
    events = [rows(["a"]), job("h", "insert into log select 'a'"), rows(["b"])]

    made = plan(
        recording(node(), events={"operation.shop.hook": events}, run={"on_run_start": [hook]}),
    )

    guard, insert = made.prelude  # and what is read last decides nothing
    assert isinstance(guard, Guard)
    assert (guard.kind, guard.expected) == (GuardKind.ROWS, [["a"]])
    assert isinstance(insert, JobOperation)
    assert insert.shared == "on_run_start:0.1"
    assert made.hooks == (Hook("operation.shop.hook", "shop.on-run-start.0", 0, 2),)


def test_a_test_belongs_to_the_parent_below_all_others() -> None:
    """As the DAG renders it; unit tests belong to their model."""
    customers, test, unit = "model.shop.customers", "test.shop.rel", "unit_test.shop.orders.u"
    alone, source = "test.shop.alone", "source.shop.raw.orders"
    recorded = recording(
        node(depends_on=[source]),
        node(customers, depends_on=[ORDERS]),
        test_node(test, parents=[ORDERS, customers]),
        test_node(alone, parents=[source]),
        node(unit, depends_on=[ORDERS, customers], relation=None),
        events={},
        flags={unit: "A unit test compares rows inside dbt."},
    )
    recorded["run"]["parents"].pop(unit)

    assert plan(recorded).owners == {test: customers, alone: source, unit: ORDERS}
    assert plan(recorded, detach=True).owners[test] == test


def test_what_is_not_selected_counts_for_the_owner_of_a_test() -> None:
    """As in the DAG: whether one parent lies below another is the whole project's to say."""
    left, hidden, test = "model.shop.left", "model.shop.hidden", "test.shop.rel"
    recorded = recording(
        node(depends_on=[hidden]), node(left), test_node(test, parents=[ORDERS, left]), events={}
    )
    assert plan(recorded).owners == {test: test}

    recorded["run"]["parents"][hidden] = [left]
    assert plan(recorded).owners == {test: ORDERS}


def test_where_all_tests_are_one_task_none_belongs_to_a_node() -> None:
    """Unit tests included: the author wants them after everything else."""
    unit = "unit_test.shop.orders.u"
    recorded = recording(node(), test_node(unit, parents=[ORDERS], resource_type="unit_test"), events={})

    assert plan(recorded, owned=False).owners == {}
    assert plan(recorded).owners == {unit: ORDERS}


def test_a_test_without_a_result_query_is_left_to_dbt() -> None:
    """A package that overrides the test materialization may do anything."""
    test = "test.shop.odd"
    recorded = recording(test_node(test, parents=[]), events={test: [job(kind="INSERT")]})

    assert plan(recorded).nodes[test].level is Level.DBT


def test_a_warning_fails_with_warn_error() -> None:
    """As dbt was told for the whole run."""
    test = "test.shop.t"
    recorded = recording(test_node(test, parents=[]), events={test: [job(rows=True)]}, warn_error=True)

    rule = plan(recorded).nodes[test].test

    assert rule is not None
    assert (rule.severity, rule.warn_error) == ("ERROR", True)


def test_nodes_dbt_only_passes_by_are_not_planned() -> None:
    """Exposures and saved queries have no task; dbt's results have them all the same."""
    exposure = "exposure.shop.report"
    described = node(
        exposure, relation=None, status="no-op", message="NO-OP", main_job=None, materialized=None
    )

    assert plan(recording(described, events={})).nodes == {}


def test_the_index_names_every_node_and_survives_its_bytes() -> None:
    """What setup uploads is what the trigger loads."""
    made = plan(recording(node(), events={ORDERS: [relation(), rows(["a"]), job()]}))

    index = load_index(dump_index(made.index()))

    assert index.nodes[ORDERS].level is Level.GUARDED
    assert index.nodes[ORDERS].fqn == ("shop", "orders")
    assert index.nodes[ORDERS].relation == "p.shop.orders"
    assert load_node(dump_node(made.nodes[ORDERS])) == made.nodes[ORDERS]


def test_a_recording_of_another_version_is_refused() -> None:
    """Recorder and planner belong to one installation."""
    with pytest.raises(PlanError, match="format 99"):
        plan({**recording(events={}), "format": 99})


def test_describing_columns_is_a_step_of_the_executor() -> None:
    """At its place among the others; the reason tells why the node is not cheaper."""
    made = plan_of(relation(), job(), describing("id"))

    assert (made.level, made.reason) == (
        Level.NATIVE,
        "It describes the columns that its table has by then.",
    )
    assert made.steps[-1] == NativeOperation(
        NativeKind.UPDATE_COLUMNS,
        {"project": "p", "dataset": "shop", "table": "orders"},
        {"columns": {"id": {"description": "The id."}}, "checked": True},
    )


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        ("grants", ["p", "shop", "orders"], "It compares its grants with those its relation has by then."),
        ("grant_access", ["p", "raw"], "It changes the access list of a dataset."),
        (
            "add_columns",
            ["p", "shop", "orders"],
            "It writes its table's columns back, with new ones if there are any.",
        ),
        ("sync_structs", ["p", "shop", "orders"], "It changes the fields of its table's records."),
        (
            "copy_partitions",
            ["p", "shop", "orders"],
            "It copies the partitions that its new data has by then.",
        ),
    ],
)
def test_every_native_step_tells_why(kind: str, path: list[str], reason: str) -> None:
    """Of a table or of a dataset, with what was recorded for it."""
    made = plan_of(relation(), job(), read("native", kind=kind, path=path, payload={"some": "thing"}))

    assert (made.level, made.reason) == (Level.NATIVE, reason)
    request = dict(zip(("project", "dataset", "table"), path))
    assert made.steps[-1] == NativeOperation(NativeKind(kind), request, {"some": "thing"})


def test_a_native_step_comes_with_the_guards_of_its_node() -> None:
    """What dbt read before stays a guard, and both reasons are told."""
    table = read("table", path=["p", "raw", "events"], answer=columns("id"))

    made = plan_of(relation(), table, job(), describing("id"))

    assert made.level is Level.NATIVE
    assert "reads the columns of p.raw.events; it describes the columns" in made.reason
    assert any(isinstance(step, Guard) and step.kind is GuardKind.TABLE for step in made.steps)
