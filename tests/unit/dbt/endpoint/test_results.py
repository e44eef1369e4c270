"""A run of dbt 2 has its artifacts without a dbt, and what needs dbt 1 is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from cosmos_async.dbt.artifacts import MANIFEST_FILE, RECORDED_FILE, RESULTS_FILE
from cosmos_async.dbt.results import tell_results
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Hook, Index, IndexEntry, Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status

MODEL = "model.shop.orders"
AT = "2026-01-01T00:00:00+00:00"
RUN = RunInfo("d", "r", AT, "h", "shop", "dev", "the id", "2.0.0-alpha.4", "2.0.0-alpha.4", "0")
INDEX = Index(RUN, {MODEL: IndexEntry("orders", "model", Level.STATIC, "", "0")})
MANIFEST: dict[str, Any] = {
    "metadata": {"invocation_id": "the id"},
    "nodes": {MODEL: {"resource_type": "model"}},
}
RECORDED: dict[str, Any] = {"metadata": {}, "args": {}, "elapsed_time": 0.0, "results": []}


def _nobody() -> NoReturn:
    raise AssertionError("no dbt is needed")


def _tell(**recorded: Any) -> Any:
    outcome = Outcome(MODEL, Status.SUCCESS, "OK", Level.STATIC, AT, AT, 1)
    return tell_results(
        INDEX,
        {MODEL: outcome},
        recorded={name: json.dumps(document).encode() for name, document in recorded.items()},
        compiled_code={},
        parsed=_nobody,
        open_dbt=_nobody,
        tell=print,
    )


def test_the_artifacts_of_dbt_2_need_no_dbt() -> None:
    told = _tell(**{MANIFEST_FILE: MANIFEST, RECORDED_FILE: RECORDED})

    results = json.loads(told.files[RESULTS_FILE])["results"]
    assert [(result["unique_id"], result["message"]) for result in results] == [(MODEL, "Succeeded")]
    assert json.loads(told.files[MANIFEST_FILE]) == MANIFEST
    assert told.failure is None


START = "operation.shop.shop-on-run-start-0"
WITH_HOOKS = {
    **MANIFEST,
    "nodes": {
        **MANIFEST["nodes"],
        "end": {"resource_type": "operation", "name": "shop-on-run-end-0"},
    },
}


def _told(index: Index, *outcomes: Outcome) -> tuple[dict[str, str], list[str]]:
    """Return the results' states and the lines of the log, where no dbt may be opened."""
    lines: list[str] = []
    told = tell_results(
        index,
        {outcome.unique_id: outcome for outcome in outcomes},
        recorded={
            MANIFEST_FILE: json.dumps(WITH_HOOKS).encode(),
            RECORDED_FILE: json.dumps(RECORDED).encode(),
        },
        compiled_code={},
        parsed=_nobody,
        open_dbt=_nobody,
        tell=lines.append,
    )
    results = json.loads(told.files[RESULTS_FILE])["results"]
    return {result["unique_id"]: result["status"] for result in results}, lines


def test_a_hook_at_the_start_that_fails_is_told_and_keeps_those_at_the_end_from_running() -> None:
    """dbt 2 ends there."""
    index = replace(INDEX, hooks=(Hook(START, "shop.on-run-start.0", 0, 1),))

    states, lines = _told(index, Outcome(START, Status.ERROR, "no", Level.STATIC, AT, AT, 1))

    assert states == {START: "error", MODEL: "skipped"}
    assert lines == ["dbt 2 runs no on-run-end hooks: an on-run-start hook failed."]


def test_with_fail_fast_a_node_that_fails_keeps_hooks_from_running() -> None:
    """dbt 2 ends there as well."""
    index = replace(INDEX, run=replace(RUN, fail_fast=True))

    states, lines = _told(index, Outcome(MODEL, Status.ERROR, "no", Level.STATIC, AT, AT, 1))

    assert states == {MODEL: "error"}
    assert "--fail-fast" in lines[0]


def test_without_what_setup_has_kept_there_are_none() -> None:
    with pytest.raises(DbtError, match="is not kept"):
        _tell()
