"""A new version of the dbt project is a new version of the DAG; whatever else may change makes none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_async import settings
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG
from cosmos_async.config import ExecutionConfig, ProjectConfig
from cosmos_async.graph.version import project_version

MakeDag = Callable[..., DAG]
HERE = Path(__file__).parents[1]

needs_versions = pytest.mark.skipif(AIRFLOW_VERSION < (3, 0), reason="Airflow 2 has no versions of DAGs")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the test's own, with everything a version depends on."""
    root = tmp_path / "project"
    (root / "models").mkdir(parents=True)
    (root / "seeds").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "costs.sql").write_text("select 1")
    (root / "dbt_project.yml").write_text(
        "name: p\nmodel-paths: [models, ../shared]\ntarget-path: built\nlog-path: told/logs\n"
    )
    (root / "models" / "orders.sql").write_text("select 2")
    (root / "seeds" / "prices.csv").write_text("id,price\n1,2\n")
    return root


@pytest.mark.parametrize(
    "file",
    ["models/orders.sql", "models/new.sql", "seeds/prices.csv", "dbt_project.yml", "../shared/costs.sql"],
)
def test_a_changed_file_is_another_version(project: Path, file: str) -> None:
    """Also a seed's rows, and what lies in a folder beside the project."""
    before = project_version(project, {})
    with open(project / file, "a") as out:
        out.write("\n# more\n")

    assert project_version(project, {}) != before


def test_a_moved_file_is_another_version(project: Path) -> None:
    """Its folder may have a configuration of its own."""
    before = project_version(project, {})
    (project / "models" / "marts").mkdir()
    (project / "models" / "orders.sql").rename(project / "models" / "marts" / "orders.sql")

    assert project_version(project, {}) != before


def test_place_and_time_do_not_count(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each machine has its own copy of the project, and each deployment writes all files anew."""
    first = project_version(project, {})
    (tmp_path / "elsewhere" / "b").mkdir(parents=True)
    shutil.copytree(project, tmp_path / "elsewhere" / "b" / "p")
    shutil.copytree(tmp_path / "shared", tmp_path / "elsewhere" / "b" / "shared")
    for file in (tmp_path / "elsewhere").rglob("*"):
        os.utime(file, (1, 1))

    assert project_version(tmp_path / "elsewhere" / "b" / "p", {}) == first
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__ENABLE_CACHE", "False")
    assert project_version(project, {}) == first


def test_what_dbt_writes_does_not_count(project: Path) -> None:
    """Somebody may run dbt in the folder; only where files of the same folder name are the project's own they count."""
    before = project_version(project, {})
    for folder in ("built/compiled", "told/logs", "target", "logs"):
        (project / folder).mkdir(parents=True)
        (project / folder / "manifest.json").write_text("{}")

    assert project_version(project, {}) == before
    (project / "models" / "built").mkdir()
    (project / "models" / "built" / "x.sql").write_text("select 1")
    assert project_version(project, {}) != before


def test_folders_can_be_left_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Cosmos' setting of the same name."""
    monkeypatch.setenv("AIRFLOW__COSMOS__PROJECT_HASH_EXCLUDED_DIRS", "notebooks, media ,")
    without = settings.project_hash_excluded_dirs()
    before = project_version(project, {}, without=without)
    for folder in ("notebooks", "models/media"):
        (project / folder).mkdir()
        (project / folder / "a.md").write_text("a")

    assert without == {"notebooks", "media"}
    assert project_version(project, {}, without=without) == before
    assert project_version(project, {}) != before


def _copied_shop(tmp_path: Path) -> ProjectConfig:
    shutil.copytree(HERE / "shop", tmp_path / "shop", ignore=shutil.ignore_patterns("target", "logs"))
    return ProjectConfig(tmp_path / "shop", manifest_path=HERE / "shop_manifest.json")


@needs_versions
def test_airflow_makes_a_version_of_a_changed_project_alone(make_dag: MakeDag, tmp_path: Path) -> None:
    """With a manifest, too, which may be older than the files that setup's dbt reads."""
    config = _copied_shop(tmp_path)
    before = _hash(make_dag(project_config=config))

    assert _hash(make_dag(project_config=config)) == before
    model = next((tmp_path / "shop" / "models").rglob("*.sql"))
    model.write_text(f"{model.read_text()}\n-- changed")
    assert _hash(make_dag(project_config=config)) != before


@needs_versions
def test_it_stands_below_the_documentation_of_setup(make_dag: MakeDag, tmp_path: Path) -> None:
    """There whoever compares two versions of a DAG finds it; an author's own text stays."""
    config = _copied_shop(tmp_path)
    line = f"**dbt project hash:** `{project_version(tmp_path / 'shop', {})}`"

    assert make_dag(project_config=config).get_task("dbt_setup_async").doc_md == line
    own = ExecutionConfig(setup_operator_args={"doc_md": "Plans."})
    dag = make_dag(project_config=config, execution_config=own)
    assert dag.get_task("dbt_setup_async").doc_md == f"Plans.\n\n{line}"


@needs_versions
def test_it_can_be_switched_off(make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Cosmos' setting."""
    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_DAG_VERSIONING", "False")

    assert make_dag().get_task("dbt_setup_async").doc_md is None


@needs_versions
def test_two_processes_make_the_same_version(tmp_path: Path) -> None:
    """Whatever their seeds of hashes are: nothing of the serialized DAG comes in an order of chance."""
    config = _copied_shop(tmp_path)
    script = tmp_path / "made.py"
    script.write_text(
        f"""
import sys
sys.path.insert(0, {str(HERE.parents[1])!r})
from datetime import datetime
from cosmos_async.config import ProfileConfig, ProjectConfig
from cosmos_async.dag.dbt_dag import DbtDag
from tests.unit.dag.test_version import _hash
project = ProjectConfig({str(config.dbt_project_path)!r}, manifest_path={str(config.manifest_path)!r})
profile = ProfileConfig(
    profile_name="corner_shop", target_name="dev", profiles_yml_filepath={str(HERE / "shop" / "profiles.yml")!r}
)
print(_hash(DbtDag(dag_id="d", schedule=None, start_date=datetime(2026, 1, 1), project_config=project, profile_config=profile)))
"""
    )

    def made(seed: str) -> str:
        environ = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(tmp_path / seed),
        }
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout.split()[-1]

    assert made("1") == made("2")


def _hash(dag: DAG) -> str:
    """Return what Airflow compares."""
    from airflow.models.serialized_dag import SerializedDagModel

    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialized
    except ImportError:  # removable when Airflow 3.0 is dropped
        from airflow.serialization.serialized_objects import SerializedDAG as Serialized
    data: Any = json.loads(json.dumps(Serialized.to_dict(dag)))
    return str(SerializedDagModel.hash(data))
