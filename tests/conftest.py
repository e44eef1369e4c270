"""
Fixtures of the whole suite: the stages, each started once and only if a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns
    from tests.airflow.stage import Stage

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run what starts an Airflow last, so that no idle one slows the others down, and before the quick ones what runs a real dbt.

    A file's tests stay in one process: the long files must not be the last to begin, or others have nothing left to do.
    """

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("airflow") is not None:
            return 2
        return 0 if item.get_closest_marker("dbt") or item.get_closest_marker("warehouse") else 1

    items.sort(key=turn)


def _dags(folder: Path, *which: str) -> Path:
    """Return a folder with links to the DAG files of the demo and to those of the acceptance tests, perhaps only of these names."""
    folder.mkdir()
    files = (TESTS / "airflow/dags").glob("*.py")
    own = [file for file in files if not which or file.stem in which]
    for file in [*(TESTS / "demo/dags").glob("*.py"), *own]:
        (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="session")
def stage_33(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Airflow 3.3 beside the local warehouse, with runs of the corner project and of the guide's DAG begun."""
    from tests.airflow.shop import begin_corners
    from tests.airflow.stage import start_stage

    folder = tmp_path_factory.mktemp("stage-3.3")
    constraints = str(TESTS / "env/dbt-constraints.txt")
    env = {
        # An environment for dbt is made faster by uv; there is no dbt on this path.
        "PATH": os.pathsep.join([str(TESTS.parent / ".venvs/tools/bin"), os.environ["PATH"]]),
        "PIP_CONSTRAINT": constraints,
        "UV_CONSTRAINT": constraints,
    }
    with start_stage("3.3", folder, _dags(folder / "dags"), env=env) as stage:
        begin_corners(stage)
        yield stage


@pytest.fixture(scope="module")
def stage_211(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Airflow 2.11 beside the local warehouse."""
    from tests.airflow.stage import start_stage

    folder = tmp_path_factory.mktemp("stage-2.11")
    with start_stage("2.11", folder, _dags(folder / "dags", "consumers", "corner", "mapped")) as stage:
        yield stage


@pytest.fixture(scope="session")
def shop_33(stage_33: Stage) -> ShopRuns:
    """The demo's DAG, run for both days on Airflow 3.3."""
    from tests.airflow.shop import run_shop

    return run_shop(stage_33, days=(1, 2))


@pytest.fixture(scope="module")
def shop_211(stage_211: Stage) -> ShopRuns:
    """The demo's DAG, run for the first day on Airflow 2.11."""
    from tests.airflow.shop import run_shop

    return run_shop(stage_211, days=(1,))
