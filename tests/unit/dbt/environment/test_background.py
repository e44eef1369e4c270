"""An environment for dbt is made beside the import of a DAG file, which must not wait for an installer."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

import pytest

from cosmos_async.dbt.environment.background import main, wait_for_environment
from cosmos_async.dbt.environment.virtualenv import Environment
from cosmos_async.exceptions import ConfigError, DbtError

DBT = Environment(requirements=("dbt-bigquery==1.9",), system_site_packages=False, options=())

INSTALLS = f"""#!/bin/sh
# uv venv ... FOLDER; uv pip install ... --constraint FILE ...
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin" && ln -s "{sys.executable}" "$folder/bin/python"
else
  echo "installing $*"
fi
"""
REFUSES = """#!/bin/sh
echo "error: No solution found for dbt-bigquery==1.9"
exit 1
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installer of ours, first on the path."""
    script = tmp_path / "bin" / "uv"
    script.parent.mkdir()
    script.write_text(INSTALLS)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


def test_an_environment_is_made_by_a_process_of_its_own(uv: Path, tmp_path: Path) -> None:
    """It is there for this import if it takes no longer, and its log is kept."""
    python = wait_for_environment(DBT, tmp_path / "environments", 60)

    assert python.exists()
    log = python.parents[1].with_suffix(".log").read_text()
    assert "installing pip install" in log
    assert "dbt-bigquery==1.9" in log


def test_dbt_2_is_kept_out_of_the_environment(uv: Path, tmp_path: Path) -> None:
    """`dbt-bigquery` alone would bring the newest dbt-core, in which no plan can be recorded."""
    python = wait_for_environment(DBT, tmp_path / "environments", 60)

    assert "--constraint" in python.parents[1].with_suffix(".log").read_text()
    assert (python.parents[1] / "constraints.txt").read_text() == "dbt-core<2\n"


def test_an_environment_that_is_being_made_is_not_made_twice(uv: Path, tmp_path: Path) -> None:
    """The import says what is going on and ends; the next one finds the environment."""
    parent = tmp_path / "environments"
    parent.mkdir()
    with DBT.lock_file(parent).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(
            ConfigError, match=r"dbt-bigquery==1\.9 is being made in the background.*reads this DAG file"
        ):
            wait_for_environment(DBT, parent, 0.0)
    assert not DBT.folder(parent).with_suffix(".log").exists()


def test_an_environment_that_cannot_be_made_is_an_error_in_the_installers_words(
    uv: Path, tmp_path: Path
) -> None:
    """Nobody waits for what will not come."""
    uv.write_text(REFUSES)

    with pytest.raises(DbtError, match=r"No solution found for dbt-bigquery==1\.9"):
        wait_for_environment(DBT, tmp_path / "environments", 60)
    assert [path for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_an_environment_that_is_there_is_used(tmp_path: Path) -> None:
    """No process is started for it."""
    python = DBT.python(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()

    assert wait_for_environment(DBT, tmp_path, 0.0) == python


def test_the_builder_tells_its_failure(uv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit code and its last lines are all the import sees of it."""
    uv.write_text(REFUSES)

    order = {
        "parent": str(tmp_path),
        "requirements": ["dbt-bigquery==1.9"],
        "system_site_packages": False,
        "options": [],
    }

    code = main([json.dumps(order)])

    assert code == 1
    assert "Correct async_py_requirements" in capsys.readouterr().out
