"""Asking a real dbt, once, and living on its answer."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import DbtResourceType, LoadMode, TestIndirectSelection
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.graph import Graph, load_graph
from cosmos_async.graph.dbt_ls import Answer
from cosmos_async.graph.manifest import graph_of
from cosmos_async.graph.model import Settings
from cosmos_async.profiles import GoogleCloudOauthProfileMapping

Load = Callable[..., Graph]


@pytest.fixture
def load(shop: Path, profile: ProfileConfig, dbt: Path) -> Load:
    """Load the shop's graph through a real dbt."""

    def do(
        render: RenderConfig | None = None, *, project: ProjectConfig | None = None, **execution: Any
    ) -> Graph:
        execution.setdefault("dbt_executable_path", dbt)
        return load_graph(
            project or ProjectConfig(shop), profile, ExecutionConfig(**execution), render or RenderConfig()
        )

    return do


@pytest.fixture
def no_dbt(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on starting dbt is an error."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("dbt was started")

    monkeypatch.setattr("cosmos_async.graph.load.ask", refuse)


def snapshot_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what every file of *folder* looks like."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def names(graph: Graph) -> set[str]:
    """Return the names of nodes and tests."""
    return {node.name for node in graph.nodes.values()} | {test.name for test in graph.tests.values()}


def without_settings(graph: Graph) -> Graph:
    """Return *graph* without the configurations, of which the recorded manifest has but what decides about tasks."""
    bare = {unique_id: replace(node, settings=Settings()) for unique_id, node in graph.nodes.items()}
    sources = {
        unique_id: replace(source, node=replace(source.node, settings=Settings()))
        for unique_id, source in graph.sources.items()
    }
    return replace(graph, nodes=bare, sources=sources)


@pytest.mark.dbt
def test_dbt_ls_and_the_manifest_say_the_same(load: Load, shop: Path, manifest: dict[str, Any]) -> None:
    """Two ways to one graph; and the recorded manifest of these tests is a true one."""
    before = snapshot_of(shop)

    graph = load(RenderConfig(load_method=LoadMode.DBT_LS))

    assert without_settings(graph) == without_settings(graph_of(manifest))
    assert snapshot_of(shop) == before, "the user's project was written to"


@pytest.mark.dbt
def test_selections_are_dbts_own(load: Load) -> None:
    """Methods, graph operators, exclusions and YAML selectors, with the tests that dbt brings along."""
    marts = load(RenderConfig(select=["tag:mart,config.materialized:table"], exclude=["prices"]))
    yaml = load(RenderConfig(selector="customers_and_above"))
    cautious = load(RenderConfig(select=["orders"]), test_indirect_selection=TestIndirectSelection.CAUTIOUS)

    assert {node.name for node in marts.nodes.values()} == {"customers", "orders"}
    assert names(yaml) == {
        *("raw_customers", "stg_customers", "customers"),
        *("unique_stg_customers_id", "not_null_stg_customers_id"),
        "relationships_orders_customer_id__id__ref_customers_",
    }
    assert names(cautious) == {"orders"}


@pytest.mark.dbt
def test_the_projects_own_flags_hold_for_the_dag(load: Load, shop: Path, tmp_path: Path) -> None:
    """Tests of parents that are not selected stay out where ``flags`` in ``dbt_project.yml`` say so."""
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    with (copy / "dbt_project.yml").open("a") as file:
        file.write("\nflags: {indirect_selection: cautious}\n")

    asked = RenderConfig(select=["orders"])

    assert names(load(asked, project=ProjectConfig(copy))) == {"orders"}
    eager = load(asked, project=ProjectConfig(copy), test_indirect_selection=TestIndirectSelection.EAGER)
    assert names(eager) > {"orders"}, "what the author says in the DAG wins"


@pytest.mark.dbt
def test_a_manifest_with_a_selection_is_selected_from_by_dbt(
    load: Load, shop: Path, manifest_path: Path
) -> None:
    """Cosmos imitates dbt there."""
    project = ProjectConfig(shop, manifest_path=manifest_path)
    assert names(
        load(RenderConfig(select=["stg_orders+1"], exclude=["test_type:data"]), project=project)
    ) == {
        "stg_orders",
        "int_orders",
        "orders_over_time",
    }


@pytest.mark.dbt
def test_an_answer_is_kept_until_something_changes(
    load: Load, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second import starts no dbt; a changed model, another selection or other variables do."""
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    project = ProjectConfig(copy)
    first = load(project=project)
    asked: list[tuple[str, ...]] = []

    def count(invocation: Any, **_kwargs: Any) -> Any:
        asked.append(tuple(invocation.select))
        raise DbtError("not here")

    monkeypatch.setattr("cosmos_async.graph.load.ask", count)
    assert load(project=project) == first
    assert asked == []

    for changed in (
        lambda: load(RenderConfig(select=["orders"]), project=project),
        lambda: load(project=ProjectConfig(copy, dbt_vars={"a": 1})),
        lambda: load(project=ProjectConfig(copy, env_vars={"DBT_A": "1"})),
        lambda: (copy / "models" / "marts" / "new.sql").write_text("select 1") and load(project=project),
    ):
        with pytest.raises(DbtError, match="not here"):
            changed()
    assert len(asked) == 4


@pytest.mark.dbt
def test_dbts_own_words_are_in_the_error(load: Load, shop: Path, tmp_path: Path) -> None:
    """They name the file; nobody needs our traceback."""
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    (copy / "models" / "marts" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")

    with pytest.raises(
        DbtError, match=r"broken.*depends on a node named 'nowhere' which was not found"
    ) as caught:
        load(project=ProjectConfig(copy))
    assert str(copy) in str(caught.value)


@pytest.mark.dbt
def test_packages_are_installed_beside_the_project(load: Load, shop: Path, tmp_path: Path) -> None:
    """``dbt deps`` writes much; the project stays as it was, and a package's models are nodes like others."""
    copy, package = tmp_path / "shop", tmp_path / "package"
    shutil.copytree(shop, copy)
    (package / "models").mkdir(parents=True)
    (package / "dbt_project.yml").write_text('name: calendar\nversion: "1.0"\n')
    (package / "models" / "days.sql").write_text("select 1 as day")
    (copy / "packages.yml").write_text("packages:\n  - local: ../package\n")
    before = snapshot_of(copy)

    graph = load(RenderConfig(select=["package:calendar"]), project=ProjectConfig(copy))

    assert list(graph.nodes) == ["model.calendar.days"]
    assert snapshot_of(copy) == before
    with pytest.raises(DbtError, match=r"install_dbt_deps=True"):
        load(RenderConfig(select=["package:calendar"]), project=ProjectConfig(copy, install_dbt_deps=False))


@pytest.mark.dbt
def test_an_empty_selection_is_an_empty_graph(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """As for dbt, with a warning that names the selection; the setup task refuses to plan nothing."""
    assert names(load(RenderConfig(select=["tag:nothing_has_it"]))) == set()

    assert "tag:nothing_has_it" in caplog.text


@pytest.mark.dbt
def test_without_a_cache_every_import_asks_dbt(
    load: Load, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """Slow, but what was asked for; nothing is left behind."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__ENABLE_CACHE", "False")

    assert "orders" in names(load())

    assert not cache.exists()


@pytest.mark.dbt
def test_functions_of_dbt_1_11_are_nodes(load: Load, shop: Path, tmp_path: Path) -> None:
    """``dbt build`` creates them, and models call them."""
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    (copy / "functions").mkdir()
    (copy / "functions" / "double.sql").write_text("x * 2")
    (copy / "functions" / "f.yml").write_text(
        "functions:\n  - name: double\n    arguments: [{name: x, data_type: int64}]\n    returns: {data_type: int64}\n"
    )
    (copy / "models" / "marts" / "doubled.sql").write_text("select {{ function('double') }}(1) as two")

    graph = load(RenderConfig(select=["+doubled"]), project=ProjectConfig(copy))

    assert {node.resource_type for node in graph.nodes.values()} == {
        DbtResourceType.FUNCTION,
        DbtResourceType.MODEL,
    }
    assert graph.nodes["model.corner_shop.doubled"].depends_on == ("function.corner_shop.double",)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, manifest: dict[str, Any]) -> list[Any]:
    """Stand in for dbt, which takes seconds; the questions it is asked are collected."""
    asked: list[Any] = []

    def answer(invocation: Any, **_kwargs: Any) -> Answer:
        asked.append(invocation)
        return Answer(frozenset(manifest["nodes"]), manifest)

    monkeypatch.setattr("cosmos_async.graph.load.ask", answer)
    return asked


def test_variables_of_a_profiles_file_are_part_of_the_question(
    shop: Path, answered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target's project may decide which models there are."""
    profile = ProfileConfig("corner_shop", "dev", shop / "profiles.yml")
    execution = ExecutionConfig(dbt_executable_path=sys.executable)

    for project in ("one", "one", "two", "two"):
        monkeypatch.setenv("SHOP_PROJECT", project)
        load_graph(ProjectConfig(shop), profile, execution, RenderConfig())

    assert len(answered) == 2


def test_folders_outside_of_the_project_are_part_of_the_question(
    shop: Path, profile: ProfileConfig, answered: list[Any], tmp_path: Path
) -> None:
    """A model that several projects share may change without any of them."""
    copy, shared = tmp_path / "shop", tmp_path / "shared" / "model.sql"
    shutil.copytree(shop, copy)
    shared.parent.mkdir()
    with (copy / "dbt_project.yml").open("a") as file:
        file.write("\nmacro-paths: [macros, ../shared]\n")
    execution = ExecutionConfig(dbt_executable_path=sys.executable)

    for text in ("select 1", "select 1", "select 2 as two"):
        shared.write_text(text)
        load_graph(ProjectConfig(copy), profile, execution, RenderConfig())

    assert len(answered) == 2


def test_airflow_variables_may_be_made_part_of_the_question(
    shop: Path, profile: ProfileConfig, answered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some people purge Cosmos' cache that way."""
    execution = ExecutionConfig(dbt_executable_path=sys.executable)
    render = RenderConfig(airflow_vars_to_purge_dbt_ls_cache=["purge"])

    for value in ("1", "1", "2"):
        monkeypatch.setenv("AIRFLOW_VAR_PURGE", value)
        load_graph(ProjectConfig(shop), profile, execution, render)

    assert len(answered) == 2


def test_what_a_selection_is_compared_with_is_part_of_the_question(
    shop: Path, profile: ProfileConfig, answered: list[Any], tmp_path: Path
) -> None:
    """`state:modified` selects something else once the earlier manifest has changed."""
    execution = ExecutionConfig(dbt_executable_path=sys.executable)
    project = ProjectConfig(shop, env_vars={"DBT_STATE": str(tmp_path)})
    render = RenderConfig(select=["state:modified"])

    for content in ("{}", "{}", '{"nodes": {}}'):
        manifest = tmp_path / "manifest.json"
        if not manifest.exists() or manifest.read_text() != content:
            manifest.write_text(content)
        load_graph(project, profile, execution, render)

    assert len(answered) == 2


@pytest.mark.parametrize("file", ["shop/.env", ".env", "home/.dbt/user_settings.yml"])
def test_what_dbt_takes_from_files_by_itself_is_part_of_the_question(
    shop: Path,
    profile: ProfileConfig,
    answered: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
) -> None:
    """dbt 1.12 reads variables and flags where nobody names them; a model may be disabled by one."""
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    execution = ExecutionConfig(dbt_executable_path=sys.executable)

    for text in ("A=1", "A=1", "A=22"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        load_graph(ProjectConfig(copy), profile, execution, RenderConfig())

    assert len(answered) == 2


@pytest.mark.dbt
def test_a_selection_by_state_needs_the_state(load: Load) -> None:
    """The message names the place that counts for the DAG and for its runs."""
    with pytest.raises(DbtError, match=r'env_vars=\{"DBT_STATE"'):
        load(RenderConfig(select=["state:modified"]))


def test_a_dbt_that_was_upgraded_is_asked_again(
    shop: Path, profile: ProfileConfig, answered: list[Any], tmp_path: Path
) -> None:
    """Its script is another file then, at the same path."""
    script = tmp_path / "dbt"
    for content in ("#!/bin/sh\n", "#!/bin/sh\n", "#!/bin/sh\n#\n"):
        if not script.exists() or script.read_text() != content:
            script.write_text(content)
            script.chmod(0o755)
        load_graph(ProjectConfig(shop), profile, ExecutionConfig(dbt_executable_path=script), RenderConfig())

    assert len(answered) == 2


def test_the_real_profile_is_another_question_than_the_mocked_one(
    shop: Path, answered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``enable_mock_profile=False`` is for projects that look at their target while they are parsed."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_GCP_CONN", '{"conn_type": "google_cloud_platform", "extra": {"project": "real"}}'
    )
    mapping = GoogleCloudOauthProfileMapping("gcp_conn", {"dataset": "shop"})
    profile = ProfileConfig("corner_shop", "dev", profile_mapping=mapping)
    execution = ExecutionConfig(dbt_executable_path=sys.executable)

    load_graph(ProjectConfig(shop), profile, execution, RenderConfig())
    load_graph(ProjectConfig(shop), profile, execution, RenderConfig(enable_mock_profile=False))

    assert len(answered) == 2


def test_a_manifest_alone_needs_no_dbt(manifest_path: Path, profile: ProfileConfig, no_dbt: None) -> None:
    """Nor a project; and its second reading is not one."""
    project = ProjectConfig(manifest_path=manifest_path, project_name="shop")

    first = load_graph(project, profile, ExecutionConfig(), RenderConfig())

    assert "orders" in names(first)
    assert load_graph(project, profile, ExecutionConfig(), RenderConfig()) == first


def test_a_project_that_selects_by_itself_is_asked_about(
    manifest: dict[str, Any], tmp_path: Path, profile: ProfileConfig, shop: Path, no_dbt: None
) -> None:
    """``default: true`` in selectors.yml is a selection, though no argument says so. dbt alone can resolve it."""
    manifest["selectors"]["customers_and_above"]["default"] = True
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))

    for _ in range(2):  # read, then kept
        with pytest.raises(AssertionError, match="dbt was started"):
            load_graph(
                ProjectConfig(shop, manifest_path=path),
                profile,
                ExecutionConfig(dbt_executable_path=sys.executable),
                RenderConfig(),
            )


def test_a_selection_needs_a_project(manifest_path: Path, profile: ProfileConfig) -> None:
    """A manifest does not hold what a selection may ask about."""
    project = ProjectConfig(manifest_path=manifest_path, project_name="shop")

    with pytest.raises(ConfigError, match="dbt has to resolve the selection"):
        load_graph(project, profile, ExecutionConfig(), RenderConfig(select=["orders"]))


def test_a_manifest_mode_without_manifest_is_refused(shop: Path, profile: ProfileConfig) -> None:
    """By the argument that is missing."""
    with pytest.raises(ConfigError, match="DBT_MANIFEST, but ProjectConfig has no manifest_path"):
        load_graph(
            ProjectConfig(shop), profile, ExecutionConfig(), RenderConfig(load_method=LoadMode.DBT_MANIFEST)
        )


def test_a_missing_dbt_is_named(shop: Path, profile: ProfileConfig) -> None:
    """By the argument that names it."""
    with pytest.raises(ConfigError, match=r"dbt_executable_path '/nowhere/dbt'"):
        load_graph(
            ProjectConfig(shop), profile, ExecutionConfig(dbt_executable_path="/nowhere/dbt"), RenderConfig()
        )
