"""Who asks BigQuery something is told by dbt 2's telemetry."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.dbt.endpoint import spans as module
from cosmos_async.dbt.endpoint.spans import Ambiguous, Asker, Spans

from .telemetry import Telemetry


@pytest.fixture
def telemetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    return Telemetry(tmp_path / "otel.jsonl")


def test_a_query_belongs_to_the_node_that_its_span_names(telemetry: Telemetry) -> None:
    node = telemetry.node("model.p.a", "RENDER")
    telemetry.query("select 1", below=node, purpose="get_relation adapter call")

    asker = Spans(telemetry.path).asker_of(" select 1\n")

    assert asker == Asker("model.p.a", "RENDER", purpose="get_relation adapter call")


def test_a_query_below_a_hook_is_the_hooks(telemetry: Telemetry) -> None:
    node = telemetry.node("model.p.a")
    hook = telemetry.begin(
        "hook.HookProcessed", below=node, unique_id="model.p.a", hook_type="HOOK_TYPE_PRE_HOOK"
    )
    telemetry.query("select 1", below=hook)

    assert Spans(telemetry.path).asker_of("select 1").hook


def test_a_query_that_has_ended_asks_nothing_more(telemetry: Telemetry) -> None:
    first = telemetry.query("select 1", unique_id="model.p.a")
    telemetry.end(first)
    telemetry.query("select 1", unique_id="model.p.b")

    assert Spans(telemetry.path).asker_of("select 1").unique_id == "model.p.b"


def test_one_text_of_two_nodes_is_ambiguous(telemetry: Telemetry) -> None:
    telemetry.query("select 1", unique_id="model.p.a")
    telemetry.query("select 1", unique_id="model.p.b")

    with pytest.raises(Ambiguous) as caught:
        Spans(telemetry.path).asker_of("select 1")

    assert {asker.unique_id for asker in caught.value.args} == {"model.p.a", "model.p.b"}


def test_a_query_that_nobody_has_begun_may_be_of_whoever_is_at_work(telemetry: Telemetry) -> None:
    telemetry.node("model.p.a")

    with pytest.raises(Ambiguous) as caught:
        Spans(telemetry.path).asker_of("select 1")

    assert [asker.unique_id for asker in caught.value.args] == ["model.p.a"]


def test_a_query_of_no_node_is_the_runs(telemetry: Telemetry) -> None:
    telemetry.query("select 1")

    assert Spans(telemetry.path).asker_of("select 1").unique_id is None


def test_a_line_that_is_not_all_written_yet_is_read_later(telemetry: Telemetry) -> None:
    spans = Spans(telemetry.path)
    telemetry.query("select 1", unique_id="model.p.a")
    whole = telemetry.path.read_bytes()
    telemetry.path.write_bytes(whole[:40])
    with pytest.raises(Ambiguous):
        spans.asker_of("select 1")
    telemetry.path.write_bytes(whole)

    assert spans.asker_of("select 1").unique_id == "model.p.a"


def test_all_nodes_that_have_begun_and_not_ended_are_at_work(telemetry: Telemetry) -> None:
    ended = telemetry.node("model.p.a")
    telemetry.node("model.p.b")
    telemetry.node("model.p.c")
    telemetry.end(ended)

    assert {asker.unique_id for asker in Spans(telemetry.path).at_work()} == {"model.p.b", "model.p.c"}


def test_a_phase_has_begun_once_it_is_told(telemetry: Telemetry) -> None:
    """Also when it has ended."""
    spans = Spans(telemetry.path)
    telemetry.end(telemetry.begin("phase.PhaseExecuted", phase="EXECUTION_PHASE_RUN"))

    assert spans.has_begun("RUN")
    assert not spans.has_begun("ON_RUN_END")

    telemetry.begin("phase.PhaseExecuted", phase="EXECUTION_PHASE_ON_RUN_END")
    assert spans.has_begun("ON_RUN_END")
