"""
A task's dbt has the project's packages and the right BigQuery, and leaves the project alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.exceptions import DbtError, ProjectError
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = [pytest.mark.dbt, newest_dbt]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_packages_are_installed_into_the_copy(
    opened: OpenDbt, shop: Path, google: FakeGoogle, lines: list[str]
):
    """
    `local: ../common` is installed as any other package, and found the next time dbt parses.
    """
    write(shop.parent / "common" / "dbt_project.yml", "name: common\nversion: '1.0'\n")
    write(shop.parent / "common" / "macros" / "answer.sql", "{% macro answer() %}42{% endmacro %}")
    write(shop / "packages.yml", "packages:\n  - local: ../common\n")
    write(shop / "models" / "answer.sql", "select {{ common.answer() }} as answer")

    with opened(shop) as dbt:
        arguments = dbt.arguments("compile", ["--no-introspect"])
        finished = dbt.run([*arguments, "--select", "answer"])
        compiled = dbt.workspace.target_path / "compiled" / "shop" / "models" / "answer.sql"

        assert finished.exit_code == 0, finished.words
        assert compiled.read_text() == "select 42 as answer"

    assert any("Installing ../common" in line for line in lines)
    assert not (shop / "dbt_packages").exists()
    assert not (shop / "package-lock.yml").exists()
    assert not google.mutations


def test_packages_that_cannot_be_installed_are_told_in_dbts_words(opened: OpenDbt, shop: Path):
    """
    Before anything is recorded or run, with both ways out.
    """
    write(shop / "packages.yml", "packages:\n  - local: ../nowhere\n")

    with pytest.raises(DbtError) as caught:
        opened(shop).__enter__()

    assert "`dbt deps` ended with exit code" in str(caught.value)
    assert "nowhere" in str(caught.value)
    assert "Deploy the project with its dbt_packages folder" in str(caught.value)


def test_packages_that_the_project_brings_are_used(opened: OpenDbt, shop: Path, lines: list[str]):
    """
    A deployment with its packages needs no package index; dbt is not asked.
    """
    write(shop / "packages.yml", "packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.3.0\n")
    write(shop / "dbt_packages" / "dbt_utils" / "dbt_project.yml", "name: dbt_utils\n")

    with opened(shop) as dbt:
        assert (dbt.workspace.packages_dir / "dbt_utils" / "dbt_project.yml").exists()

    assert lines == ["Using the 1 packages the project brings in dbt_packages."]


def test_recording_talks_to_the_warehouse_and_changes_nothing(
    opened: OpenDbt, shop: Path, google: FakeGoogle
):
    """
    The recorder finds the endpoint that is hidden from a dbt without recorder.
    """
    with opened(shop) as dbt:
        out = dbt.workspace.target_path / "recording.json"
        arguments = dbt.arguments()
        finished = dbt.record(arguments, out)

        assert finished.exit_code == 0, finished.words
        assert out.is_file()

    assert len(google.requests) > 0
    assert not google.mutations


def test_a_dag_without_a_project_cannot_run(opened: OpenDbt, tmp_path: Path):
    """
    The folder may be missing on this worker only.
    """
    with pytest.raises(ProjectError, match="is not a folder"):
        opened(tmp_path / "nowhere").__enter__()
