"""The command line from outside: what is found, what is refused, how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_async.cli.main import main
from cosmos_async.cli.profile import find_profile, find_project
from cosmos_async.exceptions import ProfileError

PROFILES = """
shop:
  target: "{{ env_var('WHERE', 'dev') }}"
  outputs:
    dev: {type: bigquery, method: oauth, project: p, dataset: d}
    prod: {type: bigquery, method: oauth, project: p, dataset: d}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with its profile beside it."""
    folder = tmp_path / "shop"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: shop\n")
    (folder / "profiles.yml").write_text(PROFILES)
    return folder


def found(project: Path, **options: str | None) -> tuple[str, str]:
    """Return the names of the profile and the target that are found."""
    asked: dict[str, str | None] = {"profiles_dir": None, "profile": None, "target": None, **options}
    environ = {"WHERE": options.pop("where")} if "where" in asked else {}  # type: ignore[dict-item]
    asked.pop("where", None)
    config = find_profile(project, **asked, variables={}, environ=environ, cwd=project)  # type: ignore[arg-type]
    return config.profile_name, config.target_name


def test_a_project_is_found_from_one_of_its_folders(project: Path) -> None:
    """As dbt finds it."""
    assert find_project(None, environ={}, cwd=project / "models") == project
    assert find_project(None, environ={"DBT_PROJECT_DIR": str(project)}, cwd=Path("/")) == project
    assert find_project("shop", environ={}, cwd=project.parent) == project


def test_a_target_may_be_named_with_a_variable(project: Path) -> None:
    """profiles.yml is full of them."""
    assert found(project) == ("shop", "dev")
    assert found(project, where="prod") == ("shop", "prod")
    assert found(project, target="prod") == ("shop", "prod")


def test_a_missing_target_names_those_there_are(project: Path) -> None:
    """dbt does so, too."""
    with pytest.raises(ProfileError, match=r"no target 'production'.*dev, prod"):
        found(project, target="production")


def test_a_project_that_names_no_profile_needs_one(project: Path) -> None:
    """The message names both ways."""
    (project / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\n")

    with pytest.raises(ProfileError, match=r"names no profile.*--profile"):
        found(project)


def test_a_folder_without_a_project_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, nothing on stdout, no traceback."""
    monkeypatch.chdir(tmp_path)
    for name in ("DBT_PROJECT_DIR", "DBT_PROFILES_DIR"):
        monkeypatch.delenv(name, raising=False)

    assert main(["plan"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: There is no dbt_project.yml")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "is not an executable on this machine"),
        (b"\x7fELF\x02\x01\x01", "does not say that it is dbt 2"),
        (b"#!/bin/sh\n", "leads to no Python with dbt-core and dbt-bigquery"),
    ],
    ids=["missing", "compiled", "wrapper"],
)
def test_a_dbt_that_cannot_be_used_is_refused_by_its_option(
    project: Path,
    tmp_path: Path,
    content: bytes | None,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At a terminal there is no ``dbt_executable_path`` and no ``async_py_requirements``."""
    monkeypatch.chdir(project)
    dbt = tmp_path / "dbt"
    if content is not None:
        dbt.write_bytes(content)
        dbt.chmod(0o755)

    assert main(["plan", "--dbt", str(dbt)]) == 1

    said = capsys.readouterr().err
    assert said.startswith("Error: --dbt ")
    assert why in said
    assert "dbt_executable_path" not in said
    assert "async_py_requirements" not in said


def test_no_dbt_at_all_names_the_option(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else one would look for a DAG's ExecutionConfig."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    assert main(["plan"]) == 1

    said = capsys.readouterr().err
    assert "There is no dbt: neither beside cosmos-async" in said
    assert "--dbt /opt/dbt/bin/dbt" in said
    assert "ExecutionConfig" not in said


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """dbt's further options come after --, and the help says so."""
    with pytest.raises(SystemExit) as refused:
        main(["plan", "--empty"])

    assert refused.value.code == 2
    assert "come after `--`" in capsys.readouterr().err


def test_a_selection_after_the_two_dashes_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind them it would reach dbt alone."""
    assert main(["plan", "--", "--select=orders"]) == 1

    assert "--select=orders belongs before `--`" in capsys.readouterr().err


def test_the_command_line_loads_neither_airflow_nor_an_http_client() -> None:
    """It is to answer at once, and to work beside a dbt that cannot share an environment with Airflow."""
    code = (
        # Some packages of Google's are there as soon as Python is.
        "import sys; before = set(sys.modules)\n"
        "import cosmos_async.cli.main\n"
        "loaded = set(sys.modules) - before\n"
        "print([name for name in loaded if name.partition('.')[0] in ('airflow', 'aiohttp', 'dbt', 'google')])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
