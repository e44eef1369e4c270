"""
dbt writes the artifacts of a run that it did not execute, as if it had.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.artifacts import recorded_artifacts
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.results import write_results
from cosmos_async.dbt.run_node import outcome_of
from cosmos_async.dbt.session import Dbt
from cosmos_async.dbt_rules.artifacts import target_files
from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = pytest.mark.dbt

TIME = "2024-02-29T12:00:0{}+00:00"
#: Where a run was executed, which two runs do not share.
PLACES = ("project_dir", "profiles_dir", "target_path", "log_path")

BATCHES = {
    "successful": [["2024-01-01T00:00:00+00:00", "2024-01-02T00:00:00+00:00"]],
    "failed": [["2024-01-02T00:00:00+00:00", "2024-01-03T00:00:00+00:00"]],
}


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def outcomes_of(run_results: dict[str, Any]) -> list[Outcome]:
    """Return what a run of ours would have left behind instead."""
    return [
        outcome_of(result, begun=TIME.format(0), ended=TIME.format(1), try_number=1, reason="")
        for result in run_results["results"]
        if result["status"] != "skipped" and not result["unique_id"].endswith("on-run-end-0")
    ]


def outcome(unique_id: str, status: Status, *, second: int, **facts: Any) -> Outcome:
    return Outcome(
        unique_id=unique_id,
        status=status,
        message=facts.pop("message", None),
        level=Level.STATIC,
        started_at=TIME.format(second),
        completed_at=TIME.format(second + 1),
        try_number=1,
        **facts,
    )


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal: all but the thread and the compile time, which lies in the setup task."""
    kept = {
        key: value for key, value in result.items() if key not in ("thread_id", "timing", "execution_time")
    }
    executed = [timing for timing in result["timing"] if timing["name"] == "execute"]
    return {**kept, "ended": [timing["completed_at"] for timing in executed]}


def test_the_artifacts_are_those_of_a_native_run(
    opened: OpenDbt, shop: Path, google: FakeGoogle, lines: list[str]
):
    """
    A build of dbt is told to the writer as outcomes: what it writes is what dbt wrote, and `dbt retry` goes on from it.
    """
    google.on_query("should_error", rows=[{"failures": 0, "should_warn": False, "should_error": False}])
    google.on_query(
        "should_error.*`lines`", rows=[{"failures": 2, "should_warn": True, "should_error": True}]
    )
    with opened(shop, select=["orders", "lines", "totals", "dashboard"]) as dbt:
        target = dbt.workspace.target_path
        dbt.run(dbt.arguments())
        native, manifest = load(target / "run_results.json"), load(target / "manifest.json")
        compiled = {
            each["unique_id"]: each["compiled_code"] for each in native["results"] if each["compiled_code"]
        }
        files = {
            path.relative_to(target).as_posix(): path.read_text()
            for folder in ("compiled", "run")
            for path in (target / folder).rglob("*")
            if path.is_file()
        }
        ours = {name: json.loads(data) for name, data in recorded_artifacts(dbt, {}).items()}
        assert target_files(ours["manifest.json"], ours["run_files.json"]) == files
        assert {name.split("/")[0] for name in files} == {"compiled", "run"}
        google.requests.clear()

        artifacts = write_results(dbt, outcomes_of(native), compiled_code=compiled)

        assert artifacts.failure is None
        ours = load(artifacts.run_results)
        assert load(artifacts.manifest)["nodes"].keys() == manifest["nodes"].keys()
        dbt.run(["retry"])
        retried = load(target / "run_results.json")

    found = {result["unique_id"]: comparable(result) for result in ours["results"]}
    expected = {result["unique_id"]: comparable(result) for result in native["results"]}
    assert {result["status"] for result in native["results"]} >= {
        "success",
        "pass",
        "warn",
        "error",
        "skipped",
    }
    end = next(unique_id for unique_id in expected if unique_id.endswith("on-run-end-0"))
    assert found.pop(end)["status"] == expected.pop(end)["status"]
    assert found == expected
    args = (
        {key: value for key, value in each["args"].items() if key not in PLACES} for each in (ours, native)
    )
    assert next(args) == next(args)
    failed = {
        result["unique_id"]
        for result in native["results"]
        if result["status"] in ("error", "fail", "skipped")
    }
    again = {
        each["unique_id"] for each in retried["results"] if not each["unique_id"].startswith("operation.")
    }
    assert again == failed


def test_the_project_is_not_parsed_for_them(opened: OpenDbt, shop: Path, lines: list[str]) -> None:
    """With the project as setup kept it, the artifacts are the same; where it is of no use, dbt parses it."""
    done = [outcome("model.shop.orders", Status.SUCCESS, second=1)]
    with opened(shop) as dbt:
        plan = record_plan(dbt, dag_id="shop", run_id="one").plan
        assert plan.parsed is not None
        parsed = plan.parsed.read_bytes()
        (dbt.workspace.target_path / "partial_parse.msgpack").unlink()
        lines.clear()

        quick = artifacts_of(dbt, done, run=plan.run, parsed=parsed)

        assert not any("parse" in line for line in lines)
        slow = artifacts_of(dbt, done, run=plan.run)
        assert any("Starting full parse" in line for line in lines)
        assert quick == slow
        later = replace(plan.run, invocation_id="another", created_at="2026-02-03T04:05:06+00:00")
        (manifest, results) = artifacts_of(dbt, done, run=later, parsed=parsed)
        assert manifest["metadata"]["invocation_id"] == results["metadata"]["invocation_id"] == "another"
        assert manifest["metadata"].get("run_started_at", later.created_at) == later.created_at
        other = artifacts_of(dbt, done, run=replace(plan.run, dbt_version="1.8.0"), parsed=parsed)
        assert any("dbt 1.8.0 parsed it" in line for line in lines)
        assert other[1] == slow[1]


def artifacts_of(dbt: Dbt, outcomes: list[Outcome], **options: Any) -> tuple[Any, Any]:
    """Write the artifacts and return their content, without when they were written."""
    written = write_results(dbt, outcomes, **options)
    documents = load(written.manifest), load(written.run_results)
    for document in documents:
        del document["metadata"]["generated_at"]
        document.pop("elapsed_time", None)
        for kind in ("nodes", "macros", "exposures", "unit_tests"):
            for node in document.get(kind, {}).values():
                node.pop("created_at", None)
    for result in documents[1]["results"]:
        if result["unique_id"].startswith("operation."):  # executed each time
            for name in ("timing", "execution_time", "adapter_response", "message"):
                result.pop(name)
    return documents


def test_what_fail_fast_has_stopped_is_skipped_in_dbt_s_words(
    opened: OpenDbt, shop: Path, google: FakeGoogle
) -> None:
    """Whatever had no result by then: children, nodes of other branches and ephemeral models alike."""
    google.on_query(
        "should_error.*`lines`", rows=[{"failures": 2, "should_warn": True, "should_error": True}]
    )
    with opened(shop, fail_fast=True, threads=1) as dbt:
        dbt.run(dbt.arguments())
        native = load(dbt.workspace.target_path / "run_results.json")

        artifacts = write_results(dbt, outcomes_of(native))

        ours = load(artifacts.run_results)

    def told(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
        return {each["unique_id"]: (each["status"], each["message"]) for each in document["results"]}

    assert ("skipped", "Skipping due to fail_fast") in told(native).values()
    assert {status for status, _ in told(native).values()} > {"success", "skipped"}
    assert told(ours) == told(native)


def test_only_the_hooks_of_the_runs_end_reach_the_warehouse(
    opened: OpenDbt, shop: Path, google: FakeGoogle, lines: list[str]
):
    """
    They see the run's real results; nothing is built, no schema is looked at, and on-run-start has been before.
    """
    done = [
        outcome(
            "model.shop.orders",
            Status.SUCCESS,
            second=1,
            message="CREATE TABLE (3.0 rows, 10.0 KiB processed)",
        ),
        outcome(
            "unit_test.shop.totals.totals_count_lines",
            Status.FAIL,
            second=3,
            message="actual differs",
            failures=1,
        ),
        outcome(
            "model.shop.lines",
            Status.PARTIAL_SUCCESS,
            second=2,
            message="PARTIAL SUCCESS (1/2)",
            batch_results=BATCHES,
        ),
    ]
    with opened(shop) as dbt:
        artifacts = write_results(
            dbt,
            done,
            planned=["model.shop.orders", "model.shop.lines", "model.shop.totals", done[1].unique_id],
        )
        results = load(artifacts.run_results)["results"]

    assert artifacts.failure is None
    assert [request.operation for request in google.mutations] == ["jobs.insert"]
    end = google.inserted_jobs[0].spec.sql
    # dbt 1.9 knows no exposures here.
    assert "values ('end: orders lines totals_count_lines totals ')" in end.replace("dashboard ", "")
    assert [(each["unique_id"], each["status"], each["message"]) for each in results[:3]] == [
        ("model.shop.orders", "success", "CREATE TABLE (3.0 rows, 10.0 KiB processed)"),
        ("model.shop.lines", "partial success", "PARTIAL SUCCESS (1/2)"),
        ("unit_test.shop.totals.totals_count_lines", "fail", "actual differs"),
    ]
    assert results[1]["batch_results"] == BATCHES
    left = {each["unique_id"]: each["status"] for each in results[3:-1]}
    assert left.pop("exposure.shop.dashboard", "skipped") == "skipped"
    assert left == {"model.shop.totals": "skipped"}
    assert results[-1]["unique_id"] == "operation.shop.shop-on-run-end-0"
    # What went well, the task itself has told; of the rest dbt's own lines are shown.
    assert not any("OK created sql table model kitchen.orders" in line for line in lines)
    assert any("PARTIAL SUCCESS (1/2)" in line for line in lines)


def test_hooks_of_the_end_find_what_hooks_of_the_start_left_in_memory(
    opened: OpenDbt, shop: Path, google: FakeGoogle
):
    """
    dbt renders both in one process. Here the former are rendered once more, up to where they would change something.
    """
    settings = (shop / "dbt_project.yml").read_text().split("on-run-start:")[0]
    (shop / "dbt_project.yml").write_text(
        settings
        + """
on-run-start:
  - "{% do graph.setdefault('shop', {'left': 'by the first'}) %}"
  - "{% do graph['shop'].update(second=1) %}{% do run_query('insert into kitchen.hooks select 1') %}{% do graph.clear() %}"
on-run-end: "insert into kitchen.hooks values ('{{ graph['shop']['left'] }}, {{ graph['shop']['second'] }}')"
"""
    )

    with opened(shop) as dbt:
        artifacts = write_results(dbt, [outcome("model.shop.orders", Status.SUCCESS, second=1)])

    assert artifacts.failure is None
    assert [job.spec.sql.partition("*/")[2].strip() for job in google.inserted_jobs] == [
        "insert into kitchen.hooks values ('by the first, 1')"
    ]


@newest_dbt
def test_a_hook_that_fails_is_told_and_the_artifacts_are_there(
    opened: OpenDbt, shop: Path, google: FakeGoogle
):
    """
    They are stored first; then the task fails with the warehouse's words.
    """
    google.on_query("insert into kitchen.hooks", error=("notFound", "Not found: Table hooks"))

    with opened(shop) as dbt:
        artifacts = write_results(dbt, [outcome("model.shop.orders", Status.SUCCESS, second=1)])
        results = load(artifacts.run_results)["results"]

    assert artifacts.failure is not None
    assert "Not found: Table hooks" in str(artifacts.failure)
    assert results[-1]["status"] == "error"
