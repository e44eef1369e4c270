"""What to do after an error: a pure decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.google.retry import (
    JOBS,
    NO_ANSWER,
    ONCE,
    PATIENT,
    PROMPT,
    GiveUp,
    Retry,
    after_error,
    after_failed_job,
)


@pytest.mark.parametrize(
    "error",
    [
        ApiError("", status=429),
        ApiError("", status=503, reason="backendError"),
        ApiError("", status=403, reason="rateLimitExceeded"),
        ApiError("", reason=NO_ANSWER),
    ],
)
def test_googles_health_and_our_pace_are_worth_another_attempt(error: ApiError) -> None:
    """They say nothing of what was asked for."""
    assert after_error(error, attempt=1, jitter=0.5, budget=PROMPT) == Retry(0.75)


@pytest.mark.parametrize(
    "error",
    [
        ApiError("", status=400, reason="invalidQuery"),
        ApiError("", status=403, reason="accessDenied"),
        ApiError("", status=403, reason="quotaExceeded"),
        ApiError("", status=404, reason="notFound"),
        ApiError("", status=409, reason="duplicate"),
    ],
)
def test_a_clear_answer_is_the_answer(error: ApiError) -> None:
    """Asking again would only cost time."""
    assert after_error(error, attempt=1, jitter=0.5, budget=PATIENT) == GiveUp(exhausted=False)


def test_a_call_with_another_way_out_is_made_once() -> None:
    """Such as a long poll, after which the job itself is looked at."""
    assert after_error(ApiError("", status=503), attempt=1, jitter=0.0, budget=ONCE) == GiveUp(exhausted=True)


@given(
    attempt=st.integers(1, 50),
    jitter=st.floats(0, 1, exclude_max=True),
    left=st.none() | st.floats(0, 100),
    retry_after=st.none() | st.floats(0, 100),
)
def test_waits_stay_in_bounds(
    attempt: int, jitter: float, left: float | None, retry_after: float | None
) -> None:
    """Never beyond the deadline, never shorter than the server asked for, never for ever."""
    error = ApiError("", status=503, retry_after=retry_after)

    decision = after_error(error, attempt=attempt, jitter=jitter, budget=PROMPT, left=left)

    if isinstance(decision, GiveUp):
        assert decision.exhausted
        return
    assert attempt < PROMPT.attempts
    if left is not None:
        assert decision.wait < left
    if retry_after is not None:
        assert retry_after <= decision.wait <= retry_after + 1  # the last place may be rounded up
    else:
        assert 0.5 <= decision.wait <= PROMPT.longest_wait


def test_the_patient_budget_rides_out_a_quarter_of_an_hour() -> None:
    """A job runs on while Google has a bad moment; giving up would leave it to nobody."""
    error, waited = ApiError("", status=503), 0.0
    for attempt in range(1, PATIENT.attempts):
        decision = after_error(error, attempt=attempt, jitter=0.99, budget=PATIENT)
        assert isinstance(decision, Retry)
        waited += decision.wait

    assert 14 * 60 < waited < 16 * 60


# -- jobs -------------------------------------------------------------------------------------------------------------


def failed(reason: str, message: str = "no", **statistics: object) -> dict[str, object]:
    """Return the resource of a job that failed."""
    return {
        "status": {"state": "DONE", "errorResult": {"reason": reason, "message": message}},
        "statistics": statistics,
    }


@pytest.mark.parametrize(
    "job",
    [
        failed("backendError"),
        failed("internalError"),
        failed("jobRateLimitExceeded"),
        failed("rateLimitExceeded"),
        failed(
            "invalidQuery", "Could not serialize access to table p:d.t due to concurrent update", query={}
        ),
    ],
)
def test_a_job_that_bigquery_spoiled_is_worth_another_one(job: dict[str, object]) -> None:
    """A statement that failed has left nothing behind."""
    assert after_failed_job(job, attempt=1, jitter=0.5) == Retry(0.75)


@pytest.mark.parametrize(
    "job",
    [
        {"status": {"state": "DONE"}},
        failed("invalidQuery", "Unrecognized name: amout"),
        failed("quotaExceeded"),
        failed("stopped", "Job execution was cancelled"),
        failed("backendError", query={"statementType": "SCRIPT"}),
        failed("backendError", numChildJobs="2"),
    ],
)
def test_a_user_s_error_and_half_a_script_are_final(job: dict[str, object]) -> None:
    """What a script did before it failed stays; doing it twice could double rows."""
    assert after_failed_job(job, attempt=1, jitter=0.5) == GiveUp(exhausted=False)


def test_the_budget_for_jobs_ends() -> None:
    """Then the task fails with BigQuery's message, and Airflow's retries decide."""
    job = failed("backendError")
    assert isinstance(after_failed_job(job, attempt=JOBS.attempts - 1, jitter=0.0), Retry)
    assert after_failed_job(job, attempt=JOBS.attempts, jitter=0.0) == GiveUp(exhausted=True)
    assert after_failed_job(job, attempt=1, jitter=0.0, left=0.4) == GiveUp(exhausted=True)
