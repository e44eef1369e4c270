"""
A project that is more than its folder is for dbt what it is for the user's own dbt.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.dbt.running.conftest import KITCHEN, OpenDbt

pytestmark = pytest.mark.dbt

FILES = {
    "shop/dbt_project.yml": """\
name: shop
version: "1.0"
profile: kitchen
model-paths: [models, ../shared/models, "{{ env_var('MORE_MODELS', '../more') }}", target/generated]
macro-paths: [macros, ../shared/macros]
seed-paths: [../shared/seeds]
test-paths: [../../ABOVE/tests]
snapshot-paths: [linked/snapshots]
analysis-paths: [ABSOLUTE/analyses]
packages-install-path: ../dbt_packages
""",
    "shop/packages.yml": "packages:\n  - local: ../common\n",
    "shop/models/own.sql": "select * from {{ ref('shared') }} where {{ theirs() }}",
    "shop/target/generated/generated.sql": "select 1 as id",
    "shared/models/shared.sql": "select 1 as id",
    "shared/macros/theirs.sql": "{% macro theirs() %}true{% endmacro %}",
    "shared/seeds/countries.csv": "code\nde\n",
    "shared/snapshots/snap.sql": (
        "{% snapshot snap %}{{ config(unique_key='id', strategy='check', check_cols='all', target_schema='s') }}"
        "select * from {{ ref('shared') }}{% endsnapshot %}"
    ),
    "shared/analyses/thought.sql": "select 1",
    "more/more.sql": "select * from {{ ref('countries') }}",
    "ABOVE/tests/no_rows.sql": "select * from {{ ref('own') }} where false",
    "common/dbt_project.yml": "name: common\nversion: '1.0'\n",
    "common/models/packaged.sql": "select 1 as id",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project whose every part lies somewhere else."""
    above = tmp_path / "repository"
    for name, text in FILES.items():
        path = tmp_path / name if name.startswith("ABOVE") else above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ABSOLUTE", str(above / "shared")))
    (above / "shop" / "linked").symlink_to("../shared")
    return above / "shop"


def test_every_node_of_the_project_is_found(
    opened: OpenDbt,
    shop: Path,
    executable: Path,
    environment: dict[str, str],
    lines: list[str],
    tmp_path: Path,
):
    """
    Path lists that look upwards, beside, through links and from the root; a package beside, installed beside.
    """
    with opened(shop) as dbt:
        lines.clear()
        listed = dbt.run(dbt.arguments("ls", ["--quiet"]))
        assert listed.exit_code == 0, listed.words
        ours = sorted(lines)
    assert not (shop.parent / "dbt_packages").exists(), "setup writes nothing into the user's folders"

    assert ours == plain(executable, shop, environment, tmp_path)
    assert len(ours) == 8


def test_what_is_compiled_is_what_plain_dbt_compiles(opened: OpenDbt, shop: Path):
    """
    Nodes remember their files by the path that the project gives them, and dbt finds the files again by it.
    """
    with opened(shop) as dbt:
        parsed = dbt.run(["parse"])
        assert parsed.exit_code == 0, parsed.words
        manifest = json.loads((dbt.workspace.target_path / "manifest.json").read_text())

    files = {node["original_file_path"] for node in manifest["nodes"].values()}
    assert "../shared/models/shared.sql" in files
    assert "../../ABOVE/tests/no_rows.sql" in files


def plain(executable: Path, project: Path, environment: dict[str, str], tmp_path: Path) -> list[str]:
    """Return what the user's own dbt lists in the user's own folder."""
    env = {
        **environment,
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DBT_PROFILES_DIR": str(KITCHEN),
        "DBT_LOG_PATH": str(tmp_path / "plain-logs"),
        "DBT_TARGET_PATH": str(tmp_path / "plain-target"),
    }

    def run(*arguments: str) -> str:
        return subprocess.run(
            [executable, *arguments], cwd=project, env=env, check=True, capture_output=True, text=True
        ).stdout

    run("deps")
    return sorted(run("ls", "--quiet").split())
