"""
dbt's artifacts of a run that went well, made of those of the recording.
"""

from __future__ import annotations

import copy
import io
import zipfile
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from cosmos_async.dbt.artifacts import zipped
from cosmos_async.dbt_rules.artifacts import (
    finished_manifest,
    finished_results,
    target_files,
    why_dbt_writes,
)
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status

CREATED = "2026-01-01T05:00:00.000001+00:00"
NOW = datetime(2026, 1, 1, 5, 1, tzinfo=timezone.utc)
RUN = RunInfo("d", "r", CREATED, "h", "shop", "dev", "this-run", "1.11", "1.11", "0.1")

SEED, ORDERS, LINES, DASHBOARD, HOOK = (
    "seed.shop.codes",
    "model.shop.orders",
    "model.shop.lines",
    "exposure.shop.dashboard",
    "operation.shop.shop-on-run-start-0",
)


def entry(unique_id: str, **facts: Any) -> dict[str, Any]:
    """What dbt wrote of a node while it was recorded."""
    made_up = {
        "status": "success",
        "timing": [{"name": "compile", "started_at": "x", "completed_at": "x"}],
        "thread_id": "Thread-1 (worker)",
        "execution_time": 0.1,
        "adapter_response": {"rows_affected": 0},
        "message": "planned",
        "failures": None,
        "unique_id": unique_id,
        "compiled": True,
        "compiled_code": "select 1",
        "relation_name": f"`p`.`d`.`{unique_id}`",
        "batch_results": None,
    }
    return {**made_up, **facts}


RECORDED = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
        "dbt_version": "1.11.16",
        "generated_at": "then",
        "invocation_id": "another",
        "env": {"CUSTOM": "1"},
    },
    "results": [
        entry(HOOK),
        entry(SEED, compiled=None, compiled_code=None),
        entry(ORDERS),
        entry(LINES, compiled=False, compiled_code=None),
        entry(DASHBOARD, status="no-op", message="NO-OP", compiled=None, compiled_code=None),
    ],
    "elapsed_time": 3.0,
    "args": {"which": "build"},
}


def node(unique_id: str, **facts: Any) -> dict[str, Any]:
    kind, package, name = unique_id.split(".")
    made_up = {
        "resource_type": kind,
        "package_name": package,
        "path": f"{name}.sql",
        "original_file_path": f"models/{name}.sql",
        "tags": [],
        "compiled_path": None,
        "build_path": None,
    }
    return {**made_up, **facts}


def manifest(**by_id: dict[str, Any]) -> dict[str, Any]:
    keys = {
        "generated_at": "then",
        "invocation_id": "another",
        "run_started_at": "then",
        "project_name": "shop",
    }
    return {"metadata": keys, "nodes": copy.deepcopy(by_id)}


COMPILED = {
    "compiled": True,
    "compiled_code": "select 1",
    "extra_ctes": [],
    "extra_ctes_injected": True,
    "compiled_path": "out/compiled/shop/models/orders.sql",
    "build_path": "out/run/shop/models/orders.sql",
}


def outcome(unique_id: str, second: int, status: Status = Status.SUCCESS, **facts: Any) -> Outcome:
    started, completed = (f"2026-01-01T05:00:{at:02}+00:00" for at in (second, second + 2))
    return Outcome(
        unique_id,
        status,
        facts.pop("message", "fine"),
        facts.pop("level", Level.STATIC),
        started,
        completed,
        1,
        **facts,
    )


WELL = {
    HOOK: outcome(HOOK, 1),
    SEED: outcome(SEED, 20),
    ORDERS: outcome(ORDERS, 10, adapter_response={"rows_affected": 7}),
    LINES: outcome(LINES, 5, level=Level.LATE, compiled_code="select 2"),
}
PLANNED = (SEED, ORDERS, LINES)


def test_what_the_run_has_found_out_takes_the_place_of_what_was_made_up() -> None:
    """Hooks first, nodes as they ended, then what dbt only passes by."""
    found = finished_results(RECORDED, WELL, {ORDERS: "select 1", SEED: None}, RUN, now=NOW)

    assert [each["unique_id"] for each in found["results"]] == [HOOK, LINES, ORDERS, SEED, DASHBOARD]
    hook, lines, orders, seed, dashboard = found["results"]
    assert orders == entry(
        ORDERS,
        timing=[
            {
                "name": "execute",
                "started_at": "2026-01-01T05:00:10Z",
                "completed_at": "2026-01-01T05:00:12Z",
            }
        ],
        thread_id="S",
        execution_time=2.0,
        adapter_response={"rows_affected": 7},
        message="fine",
    )
    assert (lines["compiled"], lines["compiled_code"], lines["thread_id"]) == (True, "select 2", "L")
    assert (seed["compiled"], seed["compiled_code"]) == (None, None)
    assert hook["thread_id"] == "main"
    assert dashboard == RECORDED["results"][-1]
    assert found["args"] == {"which": "build"}
    assert found["elapsed_time"] == pytest.approx(60, abs=0.001)
    assert found["metadata"] == {
        **RECORDED["metadata"],
        "generated_at": "2026-01-01T05:01:00Z",
        "invocation_id": "this-run",
    }


@pytest.mark.parametrize(
    ("version", "status"), [("1.9.4", "success"), ("1.10.0", "no-op"), ("1.12.6", "no-op")]
)
def test_a_seed_that_was_not_loaded_needs_no_dbt(version: str, status: str) -> None:
    """dbt 1.9 has no such status of a node."""
    outcomes = {
        one: outcome(one, 1, Status.NO_OP if one == SEED else Status.SUCCESS)
        for one in (SEED, ORDERS, LINES, HOOK)
    }
    run = replace(RUN, dbt_version=version)

    assert why_dbt_writes(manifest(), RECORDED, (SEED, ORDERS, LINES), outcomes) is None
    results = finished_results(RECORDED, outcomes, {}, run, now=NOW)["results"]
    assert {each["unique_id"]: each["status"] for each in results}[SEED] == status


def test_a_second_comes_before_its_fractions() -> None:
    """Nodes stand in the order of their ends."""
    later = replace(WELL[SEED], completed_at="2026-01-01T05:00:12.500000+00:00")  # ORDERS ends at :12

    found = finished_results(RECORDED, {**WELL, SEED: later}, {}, RUN, now=NOW)

    assert [each["unique_id"] for each in found["results"]][1:4] == [LINES, ORDERS, SEED]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({ORDERS: outcome(ORDERS, 1, Status.ERROR)}, f"{ORDERS} ended with 'error'"),
        ({HOOK: outcome(HOOK, 1, Status.ERROR)}, f"{HOOK} ended with 'error'"),
        ({LINES: None}, f"{LINES} was skipped"),
        ({LINES: outcome(LINES, 1, Status.SKIPPED)}, f"{LINES} ended with 'skipped'"),
        ({LINES: outcome(LINES, 1, Status.PARTIAL_SUCCESS)}, f"{LINES} ended with 'partial success'"),
        ({SEED: outcome(SEED, 1, Status.WARN)}, None),
    ],
)
def test_what_dbt_skips_after_a_failure_is_dbts_to_tell(
    changes: dict[str, Outcome | None], why: str | None
) -> None:
    """And nothing else is."""
    outcomes = {name: each for name, each in {**WELL, **changes}.items() if each is not None}

    assert why_dbt_writes(manifest(), RECORDED, PLANNED, outcomes) == why


def test_hooks_at_the_end_are_dbts_to_run() -> None:
    """Whatever became of the nodes."""
    hook = node("operation.shop.shop-on-run-end-0", tags=["on-run-end"])
    start = node(HOOK, tags=["on-run-start"])

    assert why_dbt_writes(manifest(a=start), RECORDED, PLANNED, WELL) is None
    assert why_dbt_writes(manifest(a=start, b=hook), RECORDED, PLANNED, WELL) == (
        "the project has on-run-end hooks"
    )


def test_a_node_that_was_not_recorded_is_dbts_to_tell() -> None:
    """Sources have no place in run_results.json."""
    new, source = "model.shop.new", "source.shop.till.orders"
    outcomes = {**WELL, new: outcome(new, 1), source: outcome(source, 1, Status.PASS)}

    assert why_dbt_writes(manifest(), RECORDED, (*PLANNED, source), outcomes) is None
    assert why_dbt_writes(manifest(), RECORDED, (*PLANNED, new), outcomes) == f"{new} was not recorded"


def test_the_manifest_says_what_was_compiled_in_the_end() -> None:
    """A node that was planned at its turn is compiled now; one that was skipped never was."""
    late = node(LINES, extra_ctes=[{"id": "model.shop.inlined", "sql": None}], extra_ctes_injected=False)
    given = manifest(
        **{ORDERS: node(ORDERS, **COMPILED), LINES: late, SEED: node(SEED), HOOK: node(HOOK, index=0)}
    )
    results = {
        "results": [
            entry(HOOK, compiled_code="select 3"),
            entry(SEED, compiled=None, compiled_code=None),
            entry(LINES, compiled_code="select 2"),
            entry(ORDERS, status="skipped", compiled=False, compiled_code=None),
        ]
    }

    found = finished_manifest(given, results, RUN, now=NOW)

    assert found["nodes"][ORDERS] == node(ORDERS)
    assert found["nodes"][SEED] == node(SEED)
    assert found["nodes"][LINES] == {
        **late,
        "compiled": True,
        "compiled_code": "select 2",
        "extra_ctes": [],
        "extra_ctes_injected": True,
        "compiled_path": "out/compiled/shop/models/lines.sql",
        "build_path": "out/run/shop/models/lines.sql",
    }
    assert found["nodes"][HOOK]["index"] == 1
    assert found["metadata"] == {
        "generated_at": "2026-01-01T05:01:00Z",
        "invocation_id": "this-run",
        "run_started_at": CREATED,
        "project_name": "shop",
    }


@pytest.mark.parametrize(
    ("status", "path"), [("success", "target/run/shop/seeds/codes.csv"), ("error", None)]
)
def test_a_seed_that_cannot_be_loaded_has_no_built_file(status: str, path: str | None) -> None:
    """Its statement would come after the load."""
    seed = node(SEED, build_path="target/run/shop/seeds/codes.csv")
    results = {"results": [entry(SEED, status=status, compiled=None, compiled_code=None)]}

    found = finished_manifest(manifest(**{SEED: seed}), results, RUN, now=NOW)

    assert found["nodes"][SEED]["build_path"] == path


def test_a_node_that_real_dbt_has_built_has_a_built_file() -> None:
    """Setup's dbt compiled it and left it there; dbt on the worker came to its main statement."""
    orders = node(ORDERS, **{**COMPILED, "build_path": None})

    found = finished_manifest(manifest(**{ORDERS: orders}), {"results": [entry(ORDERS)]}, RUN, now=NOW)

    assert found["nodes"][ORDERS] == node(ORDERS, **COMPILED)


def test_a_node_that_was_skipped_has_called_no_macro() -> None:
    """Setup's dbt had come to it; what dbt found while parsing stays."""
    orders = node(ORDERS, **COMPILED, depends_on={"macros": ["macro.shop.named", "macro.dbt.statement"]})
    results = {"results": [entry(ORDERS, status="skipped", compiled=False, compiled_code=None)]}

    found = finished_manifest(manifest(**{ORDERS: orders}), results, RUN, now=NOW, macros={ORDERS: 1})

    assert found["nodes"][ORDERS]["depends_on"] == {"macros": ["macro.shop.named"]}


def test_a_node_that_real_dbt_gave_up_before_has_none() -> None:
    """It was compiled, and no statement was made of it."""
    orders = node(ORDERS, **{**COMPILED, "build_path": None})
    results = {"results": [entry(ORDERS, status="error")]}

    found = finished_manifest(manifest(**{ORDERS: orders}), results, RUN, now=NOW, unwritten={ORDERS})

    assert found["nodes"][ORDERS] == orders


@pytest.mark.parametrize(
    ("real", "told"),
    [
        ({"successful": ["more"], "failed": []}, {"successful": ["more"], "failed": []}),
        (None, {"successful": [], "failed": []}),
    ],
    ids=["real dbt made them", "it has none"],
)
def test_overloads_of_a_function_are_told(real: dict[str, Any] | None, told: dict[str, Any]) -> None:
    """dbt 1.12 tells of them for each function, with or without; those before know no such thing."""
    function = "function.shop.added"
    recorded = entry(function, overload_results={"successful": [], "failed": []})

    found = finished_results(
        {**RECORDED, "results": [recorded, entry(ORDERS)]},
        {function: outcome(function, 1, overload_results=real), ORDERS: WELL[ORDERS]},
        {},
        RUN,
        now=NOW,
    )

    assert found["results"][0]["overload_results"] == told
    assert "overload_results" not in found["results"][1]


def test_a_test_of_a_yaml_file_has_that_file_for_a_folder() -> None:
    """As dbt names the compiled files of several nodes that one file describes."""
    unique_id = "test.shop.not_null_orders_id"
    file = {"path": "not_null_orders_id.sql", "original_file_path": "models/schema.yml"}

    found = finished_manifest(
        manifest(**{unique_id: node(unique_id, **file)}), {"results": [entry(unique_id)]}, RUN, now=NOW
    )

    assert found["nodes"][unique_id]["compiled_path"] == (
        "target/compiled/shop/models/schema.yml/not_null_orders_id.sql"
    )


def test_the_files_that_the_manifest_names_are_kept() -> None:
    """A node that dbt has not come to has none; that of a file above the project dbt writes somewhere else."""
    facts = {"compiled": True, "compiled_code": "select 1"}
    document = manifest(
        orders=node(
            ORDERS, compiled_path="out/compiled/shop/a.sql", build_path="out/run/shop/a.sql", **facts
        ),
        codes=node(SEED, build_path="out/run/shop/codes.csv"),
        skipped=node(LINES),
        above=node("model.shop.above", compiled_path="out/compiled/shop/../../../x/b.sql", **facts),
    )

    written = {"run/shop/a.sql": "create", "run/shop/other.sql": "create other"}
    found = target_files(document, written)

    assert found == {"compiled/shop/a.sql": "select 1", "run/shop/a.sql": "create"}
    assert list(zipfile.ZipFile(io.BytesIO(zipped(found))).namelist()) == list(found)
    assert zipped(found) == zipped(target_files(document, written))
