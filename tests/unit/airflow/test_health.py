"""Without a triggerer the run says so at its first task."""

from __future__ import annotations

import pytest

from cosmos_async.airflow.health import PATIENCE, executor_of_many_machines, require_triggerer
from cosmos_async.exceptions import ConfigError


def test_a_missing_triggerer_is_waited_for_and_then_named() -> None:
    """One that restarts has time to come back; none at all is an error with the way out."""
    slept: list[float] = []

    with pytest.raises(ConfigError, match="airflow triggerer"):
        require_triggerer(look=lambda: False, sleep=slept.append)
    assert sum(slept) == PATIENCE


def test_a_triggerer_that_comes_back_is_enough() -> None:
    """A restart in this moment does not fail the run."""
    answers = iter([False, False, True])
    slept: list[float] = []

    require_triggerer(look=lambda: next(answers), sleep=slept.append)

    assert len(slept) == 2


@pytest.mark.parametrize("answer", [True, None])
def test_an_airflow_that_does_not_tell_is_taken_for_healthy(answer: bool | None) -> None:
    """A worker that cannot reach the health page runs all the same."""
    require_triggerer(look=lambda: answer, sleep=lambda seconds: pytest.fail("waited"))


@pytest.mark.parametrize(
    ("configured", "found"),
    [
        ("LocalExecutor", None),
        ("SequentialExecutor", None),
        ("CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor,CeleryExecutor", "CeleryExecutor"),
        (
            "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor",
            "KubernetesExecutor",
        ),
        ("fast:LocalExecutor, team1=wide:my_company.executors.OurExecutor", "OurExecutor"),
    ],
)
def test_executors_that_use_other_machines_are_known(
    configured: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the triggerer may not see what setup writes on its own disk."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", configured)

    assert executor_of_many_machines() == found
