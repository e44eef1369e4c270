"""
Which dbt is recorded: one truth, told in one place.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.scripts.recorder.versions import refusal, warning


def found(core: str, bigquery: str = "1.10.0") -> dict[str, str]:
    return {"dbt-core": core, "dbt-bigquery": bigquery, "google-cloud-bigquery": "3.40.0"}


@pytest.mark.parametrize(
    ("core", "bigquery"),
    [("1.9.0", "1.9.0"), ("1.10.5", "1.10.1"), ("1.11.16", "1.12.1"), ("1.12.6", "1.12.1")],
)
def test_what_is_tested_runs_without_a_word(core: str, bigquery: str):
    """
    The supported versions.
    """
    assert refusal(found(core, bigquery)) is None
    assert warning(found(core, bigquery)) is None


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        (found("1.13.0b1"), "dbt-core 1.13.0b1 is newer"),
        (found("1.11.0", "1.13.0"), "dbt-bigquery 1.13.0 is newer"),
        (found("1.13.0", "1.13.0"), "dbt-core 1.13.0 and dbt-bigquery 1.13.0 is newer"),
    ],
)
def test_a_newer_dbt_1_runs_with_a_warning(versions: dict[str, str], named: str):
    """
    It is let in, as recording fails closed, and the author knows that nobody has tried it.
    """
    assert refusal(versions) is None
    said: Any = warning(versions)
    assert named in said
    assert "dbt-core 1.9 to 1.12 and dbt-bigquery 1.9 to 1.12" in said


@pytest.mark.parametrize(
    ("versions", "why"),
    [
        (found("2.0.0"), "dbt-core 2.0.0 is dbt 2, which has no Python"),
        (found("1.11.0", "2.0.0"), "dbt-bigquery 2.0.0 is dbt 2"),
        (found("1.8.9"), "dbt-core 1.8.9 is too old"),
        (found("0.21.0"), "dbt-core 0.21.0 is too old"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_the_way_out(versions: dict[str, str], why: str):
    """
    The same versions are named as in the warning.
    """
    said: Any = refusal(versions)
    assert why in said
    assert "Install dbt-core 1.9 to 1.12 and dbt-bigquery 1.9 to 1.12" in said
