"""dbt 2's flags are found wherever they are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.dbt.endpoint.flags import Flags

SAID = [
    ({"arguments": ["build", "--fail-fast"]}, "fail_fast"),
    ({"arguments": ["build", "-x"]}, "fail_fast"),
    ({"env": {"DBT_FAIL_FAST": "1"}}, "fail_fast"),
    ({"env": {"DBT_ENGINE_FAIL_FAST": "True"}}, "fail_fast"),
    ({"dotenv": "A=1\nexport DBT_FAIL_FAST='yes' # as ever\n"}, "fail_fast"),
    ({"arguments": ["build", "-f"]}, "full_refresh"),
    ({"env": {"DBT_FULL_REFRESH": "on"}}, "full_refresh"),
    ({"env": {"DBT_ENGINE_STORE_FAILURES": "t"}}, "store_failures"),
    ({"arguments": ["--warn-error"]}, "judges_warnings"),
    ({"arguments": ["--warn-error-options={error: [LogTestResult]}"]}, "judges_warnings"),
    ({"env": {"DBT_ENGINE_WARN_ERROR": "1"}}, "judges_warnings"),
    ({"env": {"DBT_WARN_ERROR_OPTIONS": '{"error": "all"}'}}, "judges_warnings"),
    ({"dotenv": "DBT_WARN_ERROR=1"}, "judges_warnings"),
    ({"project": "flags: {WARN_ERROR: true}"}, "judges_warnings"),
    ({"project": "flags: {warn_error_options: {silence: [LogTestResult]}}"}, "judges_warnings"),
    ({"project": "flags: {warn_error_options: {error: ['*']}}"}, "judges_warnings"),
]
UNSAID = [
    {},
    {"env": {"DBT_FAIL_FAST": "0", "DBT_ENGINE_FAIL_FAST": "1", "DBT_FULL_REFRESH": ""}},
    {"env": {"DBT_WARN_ERROR": "no"}, "dotenv": "DBT_WARN_ERROR=1"},
    {"project": "flags: {warn_error: false, warn_error_options: {silence: [NoNodesForSelectionCriteria]}}"},
    {"project": "flags:\n"},
]


def _flags(
    folder: Path,
    arguments: list[str] | None = None,
    env: dict[str, str] | None = None,
    dotenv: str | None = None,
    project: str = "name: shop",
) -> Flags:
    (folder / "dbt_project.yml").write_text(project)
    if dotenv is not None:
        (folder / ".env").write_text(dotenv)
    return Flags(arguments or [], env or {}, folder)


@pytest.mark.parametrize(("said", "name"), SAID)
def test_a_flag_is_found(tmp_path: Path, said: dict, name: str) -> None:
    assert getattr(_flags(tmp_path, **said), name) is True


@pytest.mark.parametrize("said", UNSAID)
def test_what_is_not_said_is_not_so(tmp_path: Path, said: dict) -> None:
    found = _flags(tmp_path, **said)

    assert not any((found.fail_fast, found.full_refresh, found.store_failures, found.judges_warnings))
