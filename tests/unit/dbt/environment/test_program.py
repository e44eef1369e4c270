"""
dbt 2 is told what it is to leave alone, and a person which version of it was tried.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.dbt.environment.program import DbtProgram
from cosmos_async.dbt.environment.virtualenv import Environment


def test_a_version_that_was_tried_needs_no_word():
    """
    Any other runs with a warning that names it.
    """
    assert DbtProgram(Path("/dbt"), "2.0.0-alpha.4").warning() is None
    for program in (
        DbtProgram(Path("/dbt"), "2.0.9"),
        DbtProgram(Path("/dbt"), "2.0.0-alpha.4", "dbt-fusion"),
    ):
        said = program.warning()
        assert said is not None
        assert program.name in said
        assert "2.0.0-alpha.4 was" in said


def test_servers_of_others_are_left_alone():
    """
    The results of other machines are none of a run's; whether it tells how it is used is for the user to say.
    """
    seen = DbtProgram(Path("/dbt"), "2.0.0").environment(
        {"A": "1", "RUST_BACKTRACE": "1", "DBT_ENGINE_MANAGE_STATE": "true"}
    )

    assert seen["A"] == "1"
    assert "RUST_BACKTRACE" not in seen
    assert seen["DBT_ENGINE_MANAGE_STATE"] == "false"
    assert seen["DBT_DISABLE_VERSION_CHECK"] == "true"
    assert seen["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    told = DbtProgram(Path("/dbt"), "2.0.0").environment({"DBT_SEND_ANONYMOUS_USAGE_STATS": "true"})
    assert told["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "true"


@pytest.mark.parametrize(
    ("requirement", "two"),
    [
        ("dbt>=2", True),
        ("dbt-core>=2.0,<3", True),
        ("dbt == 2.0.9", True),
        ("dbt~=2.0", True),
        ("dbt-core==12.1", True),
        ("dbt-bigquery", False),
        ("dbt-core<2", False),
        ("dbt-core>=1.10", False),
        ("dbt-core-experimental-parser==2.0.0a4", False),
        ("dbt-utils>=2", False),
    ],
)
def test_dbt_2_comes_only_to_who_asks_for_it(requirement: str, two: bool):
    """
    Requirements that do not say so bring dbt 1, whatever is newest.
    """
    environment = Environment((requirement,), system_site_packages=False, options=())

    assert environment._constraints() == ("" if two else "dbt-core<2\n")
