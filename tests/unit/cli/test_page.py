"""A plan as a person reads it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cosmos_async.cli.page import Page, Style, show
from cosmos_async.cli.plan import document
from cosmos_async.dbt.planner.planner import Plan
from cosmos_async.dbt.planner.record import Planned
from cosmos_async.plan.model import (
    Batch,
    Guard,
    GuardKind,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    RunInfo,
)

RUN = RunInfo(
    dag_id="d",
    run_id="r",
    created_at="2026-01-01T00:00:00+00:00",
    host="h",
    project_name="shop",
    target_name="prod",
    invocation_id="i",
    dbt_version="1.11.16",
    adapter_version="1.12.1",
    package_version="0.1.0",
)
TABLE = {"project": "acme", "dataset": "shop", "table": "orders"}


def query(sql: str, purpose: str = "main", **values: Any) -> JobOperation:
    """Return a query job."""
    configuration = {"labels": {"dbt_invocation_id": "i"}, "query": {"query": sql, "priority": "INTERACTIVE"}}
    return JobOperation(purpose, "acme", "EU", configuration, **values)


NODES = [
    NodePlan(
        "model.shop.orders",
        "orders",
        "model",
        Level.NATIVE,
        reason="It reads the columns of acme.shop.orders; it describes columns.",
        materialized="table",
        relation="acme.shop.orders",
        file="models/orders.sql",
        steps=(
            Guard(GuardKind.TARGET_STATE, "acme.shop.orders", TABLE, "absent"),
            query('/* {"app": "dbt", "dbt_version": "1.11.16"} */\n\n\n    select 1\n\n\n\n      as id\n'),
            NativeOperation(NativeKind.UPDATE_COLUMNS, TABLE, {"columns": {}}),
        ),
    ),
    NodePlan(
        "model.shop.totals", "totals", "model", Level.DBT, reason="It is a Python model.", file="totals.py"
    ),
    NodePlan(
        "test.shop.unique_orders_id.1",
        "unique_orders_id",
        "test",
        Level.STATIC,
        steps=(query("select 0", "test"),),
    ),
    NodePlan(
        "test.shop.of_a_source.2", "of_a_source", "test", Level.STATIC, steps=(query("select 0", "test"),)
    ),
]


@pytest.fixture
def planned() -> Planned:
    """Two models and two tests; one test belongs to no node."""
    plan = Plan(
        run=RUN,
        nodes={node.unique_id: node for node in NODES},
        owners={"test.shop.unique_orders_id.1": "model.shop.orders"},
        prelude=(query("create schema shop", "create schema", shared="create_schema:acme.shop"),),
        uploads={},
    )
    # In the order in which dbt finished them; an ephemeral model has no plan.
    order = ["test.shop.of_a_source.2", "model.shop.orders", "model.shop.thin", "model.shop.totals"]
    nodes = {unique_id: {"depends_on": []} for unique_id in [*order, "test.shop.unique_orders_id.1"]}
    return Planned(plan, {"nodes": nodes}, {})


def shown(planned: Planned, *, colours: bool = False, **options: Any) -> str:
    """Return the page."""
    out = io.StringIO()
    arguments = {"chosen": list(planned.plan.nodes), "brief": False, "alone": False, **options}
    show(Page(out.write, Style(colours)), planned, **arguments)
    return out.getvalue()


def test_the_page_begins_with_the_run_and_how_many_nodes_are_at_which_level(planned: Planned) -> None:
    """A person sees at once what they are looking at."""
    assert shown(planned).splitlines()[:2] == [
        "shop, target prod; dbt-core 1.11.16, dbt-bigquery 1.12.1, cosmos-async 0.1.0",
        "4 nodes: 2 at S (static), 1 at N (native), 1 at D (real dbt)",
    ]


def test_a_node_shows_its_level_reason_guards_and_operations_with_their_sql(planned: Planned) -> None:
    """dbt's comment, its indentation and its empty lines are not what a person wants to read."""
    assert shown(planned, chosen=["model.shop.orders"], alone=True) == (
        "N  model.shop.orders  table  acme.shop.orders  models/orders.sql\n"
        "   It reads the columns of acme.shop.orders; it describes columns.\n"
        "   guard   acme.shop.orders is absent\n"
        "   job     main, by acme in EU\n"
        "           select 1\n"
        "\n"
        "             as id\n"
        "   native  update columns: acme.shop.orders\n"
        '           {"columns": {}}\n'
    )


def test_each_batch_of_a_microbatch_model_has_its_window_and_its_steps(planned: Planned) -> None:
    """In dbt's order, with those that run side by side marked."""
    batches = (
        Batch("2024-01-01", "2024-01-01", "2024-01-02", (query("select 1"),)),
        Batch("2024-01-02", "2024-01-02", "2024-01-03", (query("select 2"),), at_once=4),
    )
    node = NodePlan("model.shop.totals", "totals", "model", Level.STATIC, batches=batches)
    planned.plan.nodes["model.shop.totals"] = node

    assert shown(planned, chosen=["model.shop.totals"], alone=True) == (
        "S  model.shop.totals\n"
        "   batch   2024-01-01: 2024-01-01 to 2024-01-02\n"
        "      job     main, by acme in EU\n"
        "              select 1\n"
        "   batch   2024-01-02: 2024-01-02 to 2024-01-03, 4 at once\n"
        "      job     main, by acme in EU\n"
        "              select 2\n"
    )


def test_a_node_that_is_another_in_each_run_says_what_it_uses(planned: Planned) -> None:
    """Such a one costs a start of dbt where the rest of the plan is used again; real dbt is started anyway."""
    planned.each_run.update({"model.shop.orders": "run_started_at", "model.shop.totals": "graph"})

    page = shown(planned, brief=True)

    assert "It uses run_started_at: planned in each run, also where nothing has changed." in page
    assert "graph" not in page


def test_a_node_that_is_planned_late_has_only_its_reason(planned: Planned) -> None:
    """Its steps are made when its turn has come."""
    node = NodePlan(
        "model.shop.totals", "totals", "model", Level.LATE, reason="It reads what the run builds."
    )
    planned.plan.nodes["model.shop.totals"] = node

    assert shown(planned, chosen=["model.shop.totals"], alone=True) == (
        "L  model.shop.totals\n   It reads what the run builds.\n"
    )


def test_tests_stand_beside_the_node_whose_task_executes_them(planned: Planned) -> None:
    """The order is that of the build."""
    lines = [line.split()[1] for line in shown(planned).splitlines() if line[:3] in ("S  ", "N  ", "D  ")]

    assert lines == [
        "test.shop.of_a_source.2",
        "model.shop.orders",
        "test.shop.unique_orders_id.1",
        "model.shop.totals",
    ]


def test_what_comes_before_the_first_node_is_shown(planned: Planned) -> None:
    """Run hooks and the datasets they need."""
    page = shown(planned)

    assert "Before the first node\n   job     create schema, by acme in EU\n" in page
    assert "           once for the whole run\n           create schema shop\n" in page


def test_a_brief_page_has_levels_and_reasons_alone(planned: Planned) -> None:
    """For a project of hundreds of nodes."""
    page = shown(planned, brief=True)

    assert "D  model.shop.totals  totals.py\n   It is a Python model.\n" in page
    assert "guard" not in page
    assert "select" not in page


def test_a_page_without_a_terminal_has_no_colours(planned: Planned) -> None:
    """It can be searched and kept."""
    assert "\x1b" not in shown(planned)
    assert "\x1b[35mD\x1b[0m  \x1b[1mmodel.shop.totals\x1b[0m" in shown(planned, colours=True)


def test_colours_need_a_terminal_whose_user_does_not_mind() -> None:
    """https://no-color.org"""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert Style.of(Terminal(), {}).colours
    assert not Style.of(Terminal(), {"NO_COLOR": "1"}).colours
    assert not Style.of(Terminal(), {"TERM": "dumb"}).colours
    assert not Style.of(io.StringIO(), {}).colours


def test_the_json_has_everything_in_build_order(planned: Planned) -> None:
    """The text of each statement is untouched, and a test names its owner."""
    printed = json.loads(json.dumps(document(planned, list(planned.plan.nodes))))

    assert [node["name"] for node in printed["nodes"]] == [
        "of_a_source",
        "orders",
        "totals",
        "unique_orders_id",
    ]
    assert printed["nodes"][3]["owner"] == "model.shop.orders"
    assert (
        printed["nodes"][1]["steps"][1]["configuration"]["query"]["query"]
        == NODES[0]
        .steps[1]
        .configuration[  # type: ignore[union-attr]
            "query"
        ]["query"]
    )
    assert printed["levels"] == {"S": 2, "G": 0, "N": 1, "L": 0, "D": 1}
    assert printed["run"]["project_name"] == "shop"
    assert printed["prelude"][0]["purpose"] == "create schema"
    assert printed["format"] == 1
