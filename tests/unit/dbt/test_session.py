"""
Which BigQuery each kind of run talks to, and whose folders are trusted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.project.working_copy import Workspace
from cosmos_async.dbt.session import Dbt, open_dbt, private_folder
from cosmos_async.exceptions import ConfigError, ProjectError

ECHO = """\
import json, os, sys
names = ("BIGQUERY_EMULATOR_HOST", "COSMOS_ASYNC_BIGQUERY_ENDPOINT")
print(json.dumps([sys.argv[1:], {name: os.environ[name] for name in names if name in os.environ}]))
"""


def invocation(**project: Any) -> DbtInvocation:
    return DbtInvocation(
        project_config=ProjectConfig(**project),
        profile_config=ProfileConfig("shop", "prod", profiles_yml_filepath="/dags/profiles.yml"),
        execution_config=ExecutionConfig(),
    )


@pytest.fixture
def lines() -> list[str]:
    """What the process said."""
    return []


def dbt(
    tmp_path: Path, lines: list[str], *, env: dict[str, str] | None = None, endpoint: str | None = None
) -> Dbt:
    """Return a dbt whose scripts are run by this Python."""
    workspace = Workspace(
        tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path / "dbt_packages", tmp_path, env or {}
    )
    return Dbt(
        Path(sys.executable), workspace, Processes(lines.append), invocation(dbt_project_path="/x"), endpoint
    )


@pytest.fixture(autouse=True)
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the scripts' folder: what tells how it was started."""
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    monkeypatch.setattr("cosmos_async.dbt.session.SCRIPTS", script)


def run_echo(dbt: Dbt, lines: list[str]) -> Any:
    assert dbt.run_script("node_runner", ["--node", "n"], ["build"]).exit_code == 0
    return json.loads(lines[-1])


def test_real_runs_talk_to_googles_bigquery_unless_told_otherwise(tmp_path: Path, lines: list[str]):
    """
    Without an endpoint nothing is set, and the script's own options are told apart from dbt's.
    """
    assert run_echo(dbt(tmp_path, lines), lines) == [["node_runner", "--node", "n", "--", "build"], {}]


def test_real_runs_talk_to_the_configured_endpoint(tmp_path: Path, lines: list[str]):
    """
    Over what the environment says.
    """
    ready = dbt(
        tmp_path, lines, env={"BIGQUERY_EMULATOR_HOST": "http://old"}, endpoint="http://bigquery:9050"
    )

    assert run_echo(ready, lines)[1] == {"BIGQUERY_EMULATOR_HOST": "http://bigquery:9050"}


@pytest.mark.parametrize(
    ("env", "endpoint", "real"),
    [
        ({}, None, ""),
        ({}, "http://bigquery:9050", "http://bigquery:9050"),
        ({"BIGQUERY_EMULATOR_HOST": "http://users-own"}, None, "http://users-own"),
    ],
)
def test_a_recorded_dbt_that_lost_its_recorder_reaches_nobody(
    tmp_path: Path,
    lines: list[str],
    env: dict[str, str],
    endpoint: str | None,
    real: str,
):
    """
    google-cloud-bigquery is sent to a port where nobody listens; only the recorder knows the real one.
    """
    dbt(tmp_path, lines, env=env, endpoint=endpoint).record(["build"], tmp_path / "out.json")

    arguments, seen = json.loads(lines[-1])
    assert arguments == ["recorder.main", "--out", str(tmp_path / "out.json"), "--", "build"]
    assert seen == {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1", "COSMOS_ASYNC_BIGQUERY_ENDPOINT": real}


def test_a_manifest_alone_cannot_be_run(tmp_path: Path):
    """
    It is enough for the DAG; the message names the argument that is missing.
    """
    manifest_only = invocation(manifest_path="/x/manifest.json", project_name="shop")

    with pytest.raises(ProjectError, match=r"ExecutionConfig\(dbt_project_path=\.\.\.\)"):
        open_dbt(manifest_only, Processes(print), cache_dir=tmp_path, endpoint="http://x").__enter__()


def test_the_cache_is_for_this_user_alone(tmp_path: Path):
    """
    Environments in it are run.
    """
    folder = private_folder(tmp_path / "new" / "cache")

    assert folder.stat().st_mode & 0o077 == 0


def test_a_strangers_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Anybody can make a folder of a known name in the system's temporary folder.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: os.stat(tmp_path).st_uid + 1)
    if os.stat(tmp_path).st_uid == 0:
        os.chown(tmp_path, 12345, -1)
        monkeypatch.setattr("os.getuid", lambda: 54321)

    with pytest.raises(ConfigError, match="belongs to another user"):
        private_folder(tmp_path)


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path):
    """
    The message names the setting.
    """
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="AIRFLOW__COSMOS_ASYNC__CACHE_DIR"):
        private_folder(tmp_path / "file" / "cache")
