"""
A DAG is made of what real dbt 2 lists, and whoever cannot go on with dbt 2 is told why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.dbt.environment.interpreter import find_dbt
from cosmos_async.dbt.environment.program import TRIED, DbtProgram
from cosmos_async.dbt.process import Processes
from cosmos_async.exceptions import DbtError
from cosmos_async.graph import Graph, load_graph
from cosmos_async.graph.model import Settings
from tests.dbt_versions import NEWEST
from tests.forked_dbt import real_dbt
from tests.warehouse.child import ROOT
from tests.warehouse.dbt2 import DBT, VERSION
from tests.warehouse.dbt2.projects import copy_for_dbt_2

pytestmark = [pytest.mark.slow, pytest.mark.dbt]

PROJECTS = sorted(
    path.parent.name
    for path in (ROOT / "tests/projects").glob("*/dbt_project.yml")
    # It has functions with overloads, which dbt 1.12 knows; 2.0.0-alpha.4 takes each of their files for a function.
    if path.parent.name != "newest"
)
PROFILE = """
{name}:
  target: dev
  outputs:
    dev: {{type: bigquery, method: oauth, project: p, dataset: d, location: US}}
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Graph]:
    """Load a project's graph through a dbt."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__ENABLE_CACHE", "False")
    monkeypatch.setenv("REPLANNED_BEGIN", "2026-01-01")  # a project asks for it
    profiles = tmp_path / "profiles.yml"
    profiles.write_text(PROFILE.format(name="any"))

    def load(project: Path, dbt: Path, **render: object) -> Graph:
        return load_graph(
            ProjectConfig(project, install_dbt_deps=False),
            ProfileConfig("any", "dev", profiles_yml_filepath=profiles),
            ExecutionConfig(dbt_executable_path=dbt),
            RenderConfig(**render),  # type: ignore[arg-type]
        )

    return load


def comparable(graph: Graph) -> Graph:
    """
    Return *graph* without what dbt 2 words otherwise: the configurations, the order of tags and of a test's parents.
    """
    nodes = {
        name: replace(node, settings=Settings(), tags=tuple(sorted(node.tags)))
        for name, node in graph.nodes.items()
    }
    tests = {
        name: replace(
            test,
            parents=tuple(sorted(test.parents)),
            depends_on=tuple(sorted(test.depends_on)),
        )
        for name, test in graph.tests.items()
    }
    sources = {
        name: replace(source, node=replace(source.node, settings=Settings()))
        for name, source in graph.sources.items()
    }
    exposures = {name: replace(node, settings=Settings()) for name, node in graph.exposures.items()}
    return replace(graph, nodes=nodes, tests=tests, sources=sources, exposures=exposures)


@pytest.mark.parametrize("name", PROJECTS)
def test_the_graph_is_the_one_of_dbt_1(listed: Callable[..., Graph], tmp_path: Path, name: str) -> None:
    """The same nodes, tests, edges and tasks, whichever dbt lists the project."""
    project = copy_for_dbt_2(ROOT / "tests/projects" / name, tmp_path / name)

    assert comparable(listed(project, DBT)) == comparable(listed(project, real_dbt(NEWEST)))


def test_a_selection_means_the_same(listed: Callable[..., Graph], tmp_path: Path) -> None:
    """dbt 2 resolves it itself."""
    project = copy_for_dbt_2(ROOT / "tests/projects/kitchen", tmp_path / "kitchen")
    told = {"select": ["tag:staging+", "config.materialized:incremental"], "exclude": ["customers"]}

    two, one = listed(project, DBT, **told), listed(project, real_dbt(NEWEST), **told)

    assert comparable(two) == comparable(one)
    assert two.nodes


def test_the_program_tells_its_version(tmp_path: Path) -> None:
    """What is run here is what counts as tried."""
    found = find_dbt(DBT, None, None, processes=Processes(print), cache_dir=tmp_path)

    assert found == DbtProgram(DBT, VERSION)
    assert VERSION in TRIED


def test_requirements_can_bring_dbt_2(tmp_path: Path) -> None:
    """A wheel with the program in it is enough."""
    requirements = ["dbt-core-experimental-parser==2.0.0a4"]

    found = find_dbt(None, requirements, tmp_path / "made", processes=Processes(print), cache_dir=tmp_path)

    assert isinstance(found, DbtProgram)
    assert found.version == VERSION
    assert found.path.is_relative_to(tmp_path / "made")


def test_a_project_in_the_older_style_is_refused_in_words_of_dbt(listed: Callable[..., Graph]) -> None:
    """dbt 1 calls it deprecated, dbt 2 refuses it."""
    with pytest.raises(DbtError, match=r"(?s)Deprecated test arguments.*dbt-autofix deprecations"):
        listed(ROOT / "tests/projects/kitchen", DBT)
