"""
dbt 2's errors are followed by what to do about them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.dbt.environment.hints import driver_folder, hint
from cosmos_async.dbt.environment.program import CORE, FUSION, DbtProgram

#: As dbt Core 2.0.0-alpha.4 said it where it could not download its driver.
NO_DRIVER = "[error] [DbDriverFailed (dbt1308)]: HTTP error: io: failed to lookup address information: Name or service not known"


def program(product: str = CORE) -> DbtProgram:
    return DbtProgram(Path("/opt/dbt"), "2.0.0", product)


def test_a_missing_driver_is_named_with_its_folder(tmp_path: Path):
    """
    dbt's own words are of a server that it does not name.
    """
    said = hint(program(), NO_DRIVER, {"XDG_CACHE_HOME": str(tmp_path), "HOME": "/home/x"})

    assert "no BigQuery driver" in said
    assert "dbt system install-drivers" in said
    assert str(tmp_path / "com.getdbt" / "adbc") in said


@pytest.mark.parametrize(
    ("env", "through"), [({}, ""), ({"HTTPS_PROXY": "http://u:secret@p:1"}, " through HTTPS_PROXY")]
)
def test_with_a_driver_it_is_the_way_out_that_is_missing(tmp_path: Path, env: dict[str, str], through: str):
    """
    A proxy is named, and not what may be a password in it.
    """
    driver = driver_folder({"XDG_CACHE_HOME": str(tmp_path)}) / "x86_64" / "libadbc_driver_bigquery-1.so"
    driver.parent.mkdir(parents=True)
    driver.touch()

    said = hint(program(), NO_DRIVER, {"XDG_CACHE_HOME": str(tmp_path), **env})

    assert f"could not reach a server{through}." in said
    assert "secret" not in said


def test_who_wants_a_login_is_told_that_nobody_is_there():
    """
    dbt Fusion may; dbt Core never does.
    """
    words = "You are not logged in. Run `dbt login` to continue."

    assert "Use dbt Core, which wants none" in hint(program(FUSION), words, {})
    assert "Log in on the worker" in hint(program(), words, {})


def test_the_older_style_has_a_tool_that_mends_it():
    """
    The words are dbt's own.
    """
    words = "For compatibility errors, try the autofix script: https://github.com/dbt-labs/dbt-autofix"

    assert "dbt-autofix deprecations" in hint(program(), words, {})


def test_flags_have_one_place_left():
    """
    In dbt 1 they may stand in profiles.yml, too.
    """
    words = "[error] [InvalidConfig (dbt1005)]: Unexpected 'config' key in profiles.yml"

    assert "`flags:` of dbt_project.yml" in hint(program(), words, {})


def test_other_words_speak_for_themselves():
    """
    A failing model needs no advice.
    """
    assert hint(program(), "[error] [DbDriverFailed]: Syntax error: Expecting (", {}) == ""


def test_the_folder_is_the_one_of_dbts_own_environment():
    """
    A relative XDG_CACHE_HOME does not count.
    """
    assert driver_folder({"HOME": "/h", "XDG_CACHE_HOME": "x"}).is_relative_to("/h")
