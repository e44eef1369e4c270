"""A slow ``dbt ls`` and the import of a DAG file, which Airflow ends after a while."""

from __future__ import annotations

import fcntl
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.graph import background, load_graph
from cosmos_async.graph.background import Question, answer_beside, main
from cosmos_async.graph.dbt_ls import Answer
from cosmos_async.graph.manifest import graph_of


@pytest.fixture
def question(shop: Path, profile: ProfileConfig, cache: Path) -> Question:
    """A question that only a dbt which is not there could answer."""
    graphs = cache / "graphs"
    graphs.mkdir(parents=True)
    return Question(
        invocation=DbtInvocation(
            project_config=ProjectConfig(shop, dbt_vars={"day": 1}),
            profile_config=profile,
            execution_config=ExecutionConfig(dbt_executable_path="/nowhere/dbt"),
        ),
        project_dir=shop,
        profile=profile.render(mock=True),
        environ={"PATH": "/bin"},
        requirements=None,
        manifest=None,
        directory=graphs,
        key="key",
    )


@pytest.fixture
def limited() -> Iterator[None]:
    """An import as Airflow limits it."""
    signal.setitimer(signal.ITIMER_REAL, 600)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_what_takes_too_long_goes_on_and_our_word_comes_first(question: Question) -> None:
    """Airflow's own timeout says neither what took so long nor what to do."""
    with question.going_on.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a process of an earlier import

        with pytest.raises(
            ConfigError, match=r"`dbt ls` of .*shop takes longer.*goes on in the background"
        ) as told:
            answer_beside(question, 0.0)
    assert "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT" in str(told.value)
    assert "manifest_path" in str(told.value)


def test_the_next_import_finds_the_answer(
    question: Question, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work of the process is not lost, whatever became of the import that has started it."""
    answer = Answer(frozenset(manifest["nodes"]), manifest)
    graph = question.answer(lambda *_, **__: answer)
    monkeypatch.setattr(background, "_start", lambda _: None)

    assert graph == graph_of(manifest, answer.selected)
    assert answer_beside(question, 0.0) == graph


def test_an_answer_is_given_by_a_process_of_its_own(question: Question) -> None:
    """A real one: its error, in dbt's or our own words, reaches this import; the next one asks again."""
    for _ in range(2):
        with pytest.raises(DbtError, match=r"dbt_executable_path '/nowhere/dbt' is not an executable"):
            answer_beside(question, 600)
        assert not question.failure.exists()


def test_a_failure_after_the_import_is_told_by_the_next_one(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each import would start dbt anew and nobody would see why it fails."""
    monkeypatch.setattr(background, "_start", lambda _: None)
    assert main(question) == 0

    with pytest.raises(DbtError, match=r"dbt_executable_path '/nowhere/dbt' is not an executable"):
        answer_beside(question, 0.0)
    assert not question.failure.exists()


def test_two_processes_never_ask_the_same(question: Question) -> None:
    """A file may be parsed many times while dbt is at it."""
    with question.going_on.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert main(question) == 0
    assert not question.failure.exists()
    assert question.kept() is None


def test_no_secret_of_the_profiles_configuration_travels(question: Question) -> None:
    """A mapping of the user's own class could not be read there, and dbt is only told names."""
    import pickle

    travelled = pickle.loads(question.portable())

    assert travelled.invocation.profile_config.profile_mapping is None
    assert travelled.invocation.profile_config.profile_name == "corner_shop"
    assert travelled.profile == question.profile


def test_only_an_import_that_is_limited_asks_in_the_background(
    shop: Path, profile: ProfileConfig, limited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's limit is a timer of this process; without one, dbt may take its time."""
    seen: list[float] = []

    def beside(question: Question, left: float) -> None:
        seen.append(left)
        raise ConfigError("in the background")

    def at_once(*_args: Any, **_kwargs: Any) -> None:
        raise DbtError("at once")

    monkeypatch.setattr("cosmos_async.graph.load.answer_beside", beside)
    monkeypatch.setattr("cosmos_async.graph.load.ask", at_once)
    execution = ExecutionConfig(dbt_executable_path=sys.executable)

    with pytest.raises(ConfigError, match="in the background"):
        load_graph(ProjectConfig(shop), profile, execution, RenderConfig())
    assert 0 < seen[0] <= 600
    signal.setitimer(signal.ITIMER_REAL, 0)
    with pytest.raises(DbtError, match="at once"):
        load_graph(ProjectConfig(shop), profile, execution, RenderConfig())
