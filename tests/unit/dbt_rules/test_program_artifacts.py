"""``run_results.json`` of dbt 2, from what setup's dbt wrote and from what became of the nodes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from cosmos_async.dbt_rules.program_artifacts import program_results
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status

BEGUN = datetime(2026, 1, 1, tzinfo=timezone.utc)
RUN = RunInfo(
    "d", "r", BEGUN.isoformat(), "h", "shop", "dev", "the id", "2.0.0-alpha.4", "2.0.0-alpha.4", "0"
)
MODEL, TEST = "model.shop.orders", "test.shop.unique_orders"
MANIFEST: dict[str, Any] = {"nodes": {MODEL: {"relation_name": "`p`.`d`.`orders`"}, TEST: {}}}
RECORDED: dict[str, Any] = {
    "metadata": {"dbt_version": "2.0.0-alpha.4", "invocation_id": "another", "env": {}},
    "args": {"command": "build", "which": "build"},
    "elapsed_time": 1.0,
    "results": [
        {"unique_id": MODEL, "status": "success", "timing": []},
        {
            "unique_id": "model.shop.between",
            "status": "skipped",
            "message": "Skipped",
            "timing": [{"completed_at": "2026-01-01T00:00:00.0Z"}],
        },
    ],
}


def _outcome(unique_id: str, status: Status, *, seconds: float = 1, **more: Any) -> Outcome:
    ended = BEGUN + timedelta(seconds=seconds)
    return Outcome(
        unique_id,
        status,
        more.pop("message", "x"),
        Level.STATIC,
        BEGUN.isoformat(),
        ended.isoformat(),
        1,
        **more,
    )


def _results(*outcomes: Outcome) -> dict[str, Any]:
    told = program_results(
        RECORDED,
        MANIFEST,
        [MODEL, TEST],
        {outcome.unique_id: outcome for outcome in outcomes},
        RUN,
        now=BEGUN + timedelta(seconds=9),
    )
    assert told["metadata"]["invocation_id"] == "the id"
    assert (told["elapsed_time"], told["args"]) == (9.0, RECORDED["args"])
    return {result["unique_id"]: result for result in told["results"]}


def test_nodes_that_went_well_have_dbt_2s_words() -> None:
    results = _results(
        _outcome(MODEL, Status.SUCCESS, adapter_response={"rows_affected": 3, "bytes_billed": 5}),
        _outcome(TEST, Status.WARN, seconds=2, failures=1),
    )

    assert list(results) == ["model.shop.between", MODEL, TEST]
    assert results[MODEL] == {
        "status": "success",
        "timing": [
            {"name": name, "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01Z"}
            for name in ("compile", "execute")
        ],
        "thread_id": "S",
        "execution_time": 1.0,
        "adapter_response": {"rows_affected": 3},
        "message": "Succeeded",
        "unique_id": MODEL,
        "relation_name": "`p`.`d`.`orders`",
    }
    assert (results[TEST]["message"], results[TEST]["failures"], results[TEST]["adapter_response"]) == (
        "Warn",
        1,
        {},
    )


def test_a_failure_keeps_its_message_and_what_stands_on_it_is_skipped() -> None:
    results = _results(_outcome(MODEL, Status.ERROR, message="Syntax error"))

    assert (results[MODEL]["status"], results[MODEL]["message"]) == ("error", "Syntax error")
    assert (results[TEST]["status"], results[TEST]["message"]) == (
        "skipped",
        "Skipped due to upstream failure",
    )
