"""The manifest boiled down, and what is kept of it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.exceptions import ConfigError, ProjectError
from cosmos_async.graph.cache import GraphCache, locked, make_folder, scan
from cosmos_async.graph.document import FORMAT, graph_from_json, graph_to_json
from cosmos_async.graph.manifest import MOST_DESCRIPTION, graph_of, read_manifest, shortened

MODEL = "model.corner_shop."


def test_nodes_stand_behind_their_parents(manifest: dict[str, Any]) -> None:
    """Whoever walks over them once has seen every parent."""
    graph = graph_of(manifest)

    seen: set[str] = set()
    for unique_id, node in graph.nodes.items():
        assert seen.issuperset(node.depends_on)
        seen.add(unique_id)
    assert len(seen) == 11


def test_a_node_left_out_passes_its_parents_on(manifest: dict[str, Any]) -> None:
    """dbt keeps the order of two nodes with an unselected one between them; so do we."""
    graph = graph_of(manifest, {f"{MODEL}stg_orders", f"{MODEL}order_history"})

    assert graph.nodes[f"{MODEL}order_history"].depends_on == (f"{MODEL}stg_orders",)


def test_only_selected_tests_are_kept_with_their_selected_parents(manifest: dict[str, Any]) -> None:
    """A test whose other parent is left out still runs, as in dbt's eager selection."""
    history = "test.corner_shop.history_is_complete"
    selected = {f"{MODEL}order_history", f"{MODEL}orders", history}

    graph = graph_of(manifest, selected)

    assert {test.name: test.depends_on for test in graph.tests.values()} == {
        "history_is_complete": (f"{MODEL}order_history",)
    }


def test_the_place_of_a_test_is_the_same_whatever_is_selected_beside_it(manifest: dict[str, Any]) -> None:
    """Whether a parent lies below another is the whole project's to say, as in dbt."""
    staged = "test.corner_shop.every_order_was_staged.86529e793a"

    assert graph_of(manifest).tests[staged].place.owner == f"{MODEL}orders"
    part = graph_of(manifest, {f"{MODEL}orders", staged})
    assert part.tests[staged].place.owner == f"{MODEL}orders"


def test_a_test_waits_for_what_is_selected_above_its_parents(manifest: dict[str, Any]) -> None:
    """Where a parent itself is left out, dbt keeps the order all the same."""
    complete = "test.corner_shop.history_is_complete"

    snapshot = "snapshot.corner_shop.orders_over_time"
    graph = graph_of(manifest, {f"{MODEL}customers", f"{MODEL}orders", snapshot, complete})

    assert graph.tests[complete].after == (f"{MODEL}orders", f"{MODEL}customers")
    assert graph.tests[complete].depends_on == (snapshot,)
    assert graph.tests[complete].place.owner == complete


def test_tests_of_sources_belong_to_their_source(manifest: dict[str, Any]) -> None:
    """What reads the source waits for them."""
    source, test = (
        "source.corner_shop.till.orders",
        "test.corner_shop.source_not_null_till_orders_id.f6ebc93ea3",
    )

    assert graph_of(manifest).tested_sources == {source: (f"{MODEL}stg_orders",)}
    assert graph_of(manifest, {f"{MODEL}orders", test}).tested_sources == {source: (f"{MODEL}orders",)}
    assert graph_of(manifest).other_tests == []


def test_a_test_that_stands_on_nothing_belongs_nowhere(manifest: dict[str, Any]) -> None:
    """It holds nothing back either."""
    manifest["nodes"]["test.corner_shop.today"] = {"resource_type": "test", "depends_on": {"nodes": []}}

    assert graph_of(manifest).other_tests == ["test.corner_shop.today"]


def test_a_unit_test_knows_its_model(manifest: dict[str, Any]) -> None:
    """dbt keeps unit tests beside the nodes; whether one is selected decides as for any test."""
    unit = {
        "unit_test.shop.orders.adds_up": {"depends_on": {"nodes": [f"{MODEL}orders", f"{MODEL}stg_orders"]}}
    }

    graph = graph_of({**manifest, "unit_tests": unit})

    assert {test.unique_id: test.model for test in graph.unit_tests.values()} == {
        "unit_test.shop.orders.adds_up": f"{MODEL}orders"
    }
    assert graph.unit_tested == {f"{MODEL}orders"}
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph
    assert graph_of({**manifest, "unit_tests": unit}, {f"{MODEL}orders"}).unit_tests == {}


def test_a_unit_test_without_its_model_is_not_run(manifest: dict[str, Any]) -> None:
    """dbt runs it only together with the model."""
    unit = {"unit_test.shop.orders.u": {"depends_on": {"nodes": [f"{MODEL}orders", f"{MODEL}stg_orders"]}}}

    selected = {f"{MODEL}stg_orders", "unit_test.shop.orders.u"}

    assert graph_of({**manifest, "unit_tests": unit}, selected).unit_tests == {}


def test_a_graph_survives_being_kept(manifest: dict[str, Any]) -> None:
    """As JSON text, every field of it."""
    manifest["nodes"][f"{MODEL}orders"]["description"] = "What was ordered."
    graph = graph_of(manifest)

    assert graph.nodes[f"{MODEL}orders"].description == "What was ordered."
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph


@pytest.mark.parametrize(
    ("description", "kept"),
    [
        ("", ""),
        ("Orders,\none a row.\n\nAnd much more.", "Orders,\none a row."),
        ("x" * MOST_DESCRIPTION, "x" * MOST_DESCRIPTION),
        ("x" * 2000, "x" * (MOST_DESCRIPTION - 1) + "\u2026"),
    ],
    ids=["none", "a paragraph of several", "just short enough", "too long"],
)
def test_of_a_description_little_is_kept(description: str, kept: str) -> None:
    """Every import of the DAG file, and each task's start in a triggerer, handles all of them."""
    assert shortened(description) == kept


@pytest.mark.parametrize(
    "document", [{}, {"format": 0}, {"format": FORMAT, "nodes": [[1]]}, {"format": FORMAT, "nodes": 3}]
)
def test_something_else_that_is_kept_is_no_graph(document: dict[str, Any]) -> None:
    """An older version's, say."""
    with pytest.raises(ValueError, match=r"format 0|not a graph"):
        graph_from_json(document)


def test_a_stale_manifest_is_named_as_such(manifest: dict[str, Any]) -> None:
    """It does not know what dbt selects in the project beside it."""
    with pytest.raises(ProjectError, match=r"does not know model\.corner_shop\.brand_new.*dbt parse"):
        graph_of(manifest, {f"{MODEL}brand_new"})


def test_another_projects_models_are_not_ours_to_build(manifest: dict[str, Any]) -> None:
    """Cross-project references put models without a file into the manifest."""
    manifest["nodes"]["model.upstream.facts"] = {
        "resource_type": "model",
        "original_file_path": "",
        "depends_on": {},
    }

    assert "model.upstream.facts" not in graph_of(manifest).nodes


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is not JSON"), ("[]", "has no nodes"), ('{"nodes": 1}', "has no nodes"), (None, "cannot be read")],
    ids=["empty", "a list", "something else", "missing"],
)
def test_an_unusable_manifest_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    """With the command that writes it."""
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ProjectError, match=rf"Manifest .*manifest\.json {message}.*dbt parse"):
        read_manifest(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Files that look like a project."""
    folder = tmp_path / "project"
    for name, content in {
        "dbt_project.yml": "name: x",
        "models/a.sql": "select '{{ env_var('MY_VAR', '') }}'",
        "seeds/s.csv": "a,b",
        "target/manifest.json": "{}",
        "logs/dbt.log": "",
        ".git/HEAD": "",
        "venv/pyvenv.cfg": "",
        "dbt_packages/utils/macros/m.sql": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def key_of(
    cache: GraphCache, project: Path, question: Any = "q", environ: dict[str, str] | None = None
) -> str:
    """Ask for a key as an import of a DAG file does."""
    return cache.key(question, scan(project), environ or {})


def test_only_files_that_matter_are_looked_at(project: Path) -> None:
    """dbt's own output changes with every run, and a virtual environment has tens of thousands."""
    assert [file.name for file in scan(project)] == [
        "dbt_packages/utils/macros/m.sql",
        "dbt_project.yml",
        "models/a.sql",
        "seeds/s.csv",
    ]


def test_a_changed_file_is_another_question(project: Path, tmp_path: Path) -> None:
    """Even one of the same size."""
    cache = GraphCache(tmp_path / "kept")
    before = key_of(cache, project)

    (project / "models" / "a.sql").write_text(
        "select '{{ env_var('MY_VAR', '') }}'".replace("select", "SELECT")
    )
    os.utime(project / "models" / "a.sql", ns=(1, 1))

    assert key_of(cache, project) != before


def test_a_touched_file_is_the_same_question(project: Path, tmp_path: Path) -> None:
    """Deployments write all files anew; that must not run dbt."""
    cache = GraphCache(tmp_path / "kept")
    before = key_of(cache, project)

    for file in scan(project):
        os.utime(file.path, ns=(1, 1))

    assert key_of(cache, project) == before


def test_a_seeds_content_is_not_part_of_the_graph(project: Path, tmp_path: Path) -> None:
    """Its name is."""
    cache = GraphCache(tmp_path / "kept")
    before = key_of(cache, project)

    (project / "seeds" / "s.csv").write_text("a,b\n1,2\n")
    assert key_of(cache, project) == before
    (project / "seeds" / "s.csv").rename(project / "seeds" / "t.csv")
    assert key_of(cache, project) != before


@pytest.mark.parametrize("again", [False, True], ids=["files read", "files only looked at"])
def test_variables_that_the_project_reads_are_part_of_the_question(
    project: Path, tmp_path: Path, again: bool
) -> None:
    """Models are enabled by them. Others are not, as they change all the time."""
    cache = GraphCache(tmp_path / "kept")
    before = key_of(cache, project, environ={"MY_VAR": "a", "OTHER": "a"})
    other = cache if again else GraphCache(tmp_path / "other")

    assert key_of(other, project, environ={"MY_VAR": "a", "OTHER": "b"}) == before
    assert key_of(other, project, environ={"MY_VAR": "b", "OTHER": "a"}) != before
    assert key_of(other, project, environ={"MY_VAR": "a", "DBT_FULL_REFRESH": "1"}) != before
    asked = '{{ env_var("OTHER") }}'
    assert key_of(other, project, asked, {"OTHER": "a"}) != key_of(other, project, asked, {"OTHER": "b"})


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    """By its key only."""
    cache = GraphCache(tmp_path / "kept")
    cache.put("k", {"a": 1})

    assert GraphCache(tmp_path / "kept").get("k") == {"a": 1}
    assert cache.get("other") is None


def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path) -> None:
    """A full disk must not stop DAGs from being imported for good."""
    cache = GraphCache(tmp_path / "kept")
    cache.put("k", {"a": 1})
    (tmp_path / "kept" / "k.json").write_text('{"a"')

    assert cache.get("k") is None


def test_old_entries_are_forgotten(tmp_path: Path) -> None:
    """Every change of a project leaves one behind."""
    cache = GraphCache(tmp_path / "kept")
    cache.put("old", {})
    os.utime(tmp_path / "kept" / "old.json", (1, 1))

    cache.put("new", {})

    assert cache.get("old") is None
    assert cache.get("new") == {}


def test_readers_never_see_half_an_entry(tmp_path: Path) -> None:
    """Several processes import the same DAG file at once."""
    cache = GraphCache(tmp_path / "kept")
    large = {str(i): "x" * 50 for i in range(2000)}
    cache.put("k", large)
    seen: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(cache.get("k"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        cache.put("k", large)
    done.set()
    reader.join()

    assert all(document == large for document in seen)


def test_the_cache_is_this_users_alone(tmp_path: Path) -> None:
    """It tells what a company's warehouse looks like."""
    cache = GraphCache(tmp_path / "kept")
    cache.put("k", {})

    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "kept" / "k.json").stat().st_mode & 0o777 == 0o600


def test_a_shared_place_of_somebody_else_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the system's temporary folder anybody could have made it."""
    monkeypatch.setattr("os.getuid", lambda: 12345)

    with pytest.raises(ConfigError, match=r"belongs to another user.*cache_dir"):
        make_folder(tmp_path, private=True)


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the setting that moves it."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"cache folder .*file/kept cannot be made.*cache_dir"):
        GraphCache(tmp_path / "file" / "kept").put("k", {})


def test_a_lock_is_held_by_one_and_left_when_it_fails(tmp_path: Path) -> None:
    """Whoever waited goes on, even if the first one raised."""
    path, order, inside = tmp_path / "lock", [], threading.Event()

    def second() -> None:
        inside.wait()
        with locked(path):
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()

    def first() -> None:
        with locked(path):
            inside.set()
            order.append("first")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        first()
    waiting.join()

    assert order == ["first", "second"]
