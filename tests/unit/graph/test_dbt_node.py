"""What an author's functions see of a node: Cosmos' names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.constants import DbtResourceType
from cosmos_async.exceptions import ProjectError
from cosmos_async.graph import DbtGraph, DbtNode
from cosmos_async.graph.document import graph_from_json, graph_to_json
from cosmos_async.graph.manifest import graph_of

SOURCE, EXPOSURE = "source.corner_shop.till.orders", "exposure.corner_shop.board"
ORDERS, STAGED = "model.corner_shop.orders", "model.corner_shop.stg_orders"
SEED = "seed.corner_shop.raw_orders"
UNIQUE = "test.corner_shop.unique_raw_orders_id.f386da26c2"
DEFAULTS = {"enabled": True, "schema": None, "tags": [], "persist_docs": {}, "full_refresh": None}
COSMOS = {"operator_kwargs": {"retries": 3}, "profile_config": {"target_name": "dev"}, "colour": "red"}


@pytest.fixture
def project(manifest: dict[str, Any], shop: Path) -> Any:
    """Return the nodes of the project, some of them with more to tell, as they are kept."""
    manifest["exposures"] = {
        EXPOSURE: {
            "resource_type": "exposure",
            "package_name": "corner_shop",
            "original_file_path": "models/board.yml",
            "depends_on": {"nodes": [ORDERS]},
        }
    }
    nodes = manifest["nodes"]
    for unique_id in (STAGED, ORDERS):
        nodes[unique_id]["config"] = {**DEFAULTS, "materialized": "table", "meta": {}}
    nodes[ORDERS]["config"].update(schema="marts", tags=["mart"], meta={"owner": "ann", "cosmos": COSMOS})
    nodes["model.corner_shop.prices.v1"]["package_name"] = "dbt_prices"
    manifest["sources"][SOURCE]["freshness"] = {"warn_after": {"count": 1, "period": "day"}}

    def make(selected: Any = None, *, detach: bool = False) -> Any:
        graph = graph_from_json(json.loads(json.dumps(graph_to_json(graph_of(manifest, selected)))))
        return DbtGraph(graph, shop, detach_tests=detach).filtered_nodes

    return make


def test_a_node_has_cosmos_attributes(project: Any, shop: Path) -> None:
    """By name and by type."""
    node = project()[ORDERS]

    assert (node.unique_id, node.resource_type) == (ORDERS, DbtResourceType.MODEL)
    assert (node.name, node.resource_name, node.package_name) == ("orders", "orders", "corner_shop")
    assert (node.tags, node.owner, node.fqn) == (["mart"], "ann", ["corner_shop", "marts", "orders"])
    assert (node.path_base, node.original_file_path) == (shop, Path("models/marts/orders.sql"))
    assert node.file_path.is_file()
    assert node.depends_on == ["model.corner_shop.int_orders"]
    assert EXPOSURE in node.downstream
    assert "model.corner_shop.order_history" in node.downstream
    assert not any(child.startswith("test.") for child in node.downstream)
    assert (node.has_freshness, node.checksum, node.has_ephemeral_materialization) == (False, None, False)


def test_its_configuration_is_the_whole_of_dbts(project: Any) -> None:
    """What most nodes share is kept once; each shows all of it, and a change of it reaches nobody else."""
    nodes = project()

    assert nodes[STAGED].config == {**DEFAULTS, "materialized": "table", "meta": {}}
    assert nodes[ORDERS].config == {
        **DEFAULTS,
        "materialized": "table",
        "schema": "marts",
        "tags": ["mart"],
        "meta": {"owner": "ann", "cosmos": COSMOS},
    }
    nodes[ORDERS].config["persist_docs"]["columns"] = True
    assert nodes[STAGED].config["persist_docs"] == {}


def test_its_meta_is_what_it_says_to_cosmos(project: Any) -> None:
    """The whole is a part of its configuration."""
    node = project()[ORDERS]

    assert node.meta == COSMOS
    assert node.config["meta"]["owner"] == "ann"
    assert node.operator_kwargs_to_override == {"retries": 3}
    assert node.profile_config_to_override == {"target_name": "dev"}
    assert project()[STAGED].meta == {}


def test_a_node_depends_on_sources_and_on_what_is_not_selected(project: Any) -> None:
    """As the manifest has it."""
    assert SOURCE in project()[STAGED].depends_on
    assert project({ORDERS})[ORDERS].depends_on == ["model.corner_shop.int_orders"]


def test_a_node_knows_whether_it_is_tested(project: Any) -> None:
    """And whether a test depends on it alone, where the others have tasks of their own."""
    nodes = project()
    assert (nodes[ORDERS].has_test, nodes[ORDERS].has_non_detached_test) == (True, True)
    assert (nodes[SOURCE].has_test, nodes[EXPOSURE].has_test) == (True, False)
    detached = project(detach=True)
    assert (detached[ORDERS].has_test, detached[ORDERS].has_non_detached_test) == (True, False)
    assert detached[SEED].has_non_detached_test


def test_sources_exposures_and_tests_are_nodes_as_well(project: Any) -> None:
    """In Cosmos' order: dbt's kinds, one after the other."""
    nodes = project()

    assert (nodes[SOURCE].resource_type, nodes[SOURCE].has_freshness) == (DbtResourceType.SOURCE, True)
    assert (nodes[EXPOSURE].resource_type, nodes[EXPOSURE].depends_on) == (DbtResourceType.EXPOSURE, [ORDERS])
    test = nodes[UNIQUE]
    assert (test.resource_type, test.depends_on, test.package_name) == (
        DbtResourceType.TEST,
        [SEED],
        "corner_shop",
    )
    assert test.name == "unique_raw_orders_id_f386da26c2"
    assert {SOURCE, EXPOSURE, UNIQUE, ORDERS} <= set(nodes)
    assert len(nodes) == len(list(nodes))


def test_the_file_of_a_package_is_where_dbt_installs_it(project: Any, shop: Path) -> None:
    """Below the project's folder."""
    assert project()["model.corner_shop.prices.v1"].path_base == shop / "dbt_packages" / "dbt_prices"


def test_a_seed_has_a_checksum(project: Any, shop: Path) -> None:
    """Of its file's content."""
    seed = project()[SEED]

    assert seed.checksum == hashlib.md5((shop / "seeds/raw_orders.csv").read_bytes()).hexdigest()


def test_a_node_can_be_told_as_json(project: Any) -> None:
    """With Cosmos' keys."""
    context = project()[ORDERS].context_dict

    assert json.loads(json.dumps(context)) == context
    keys = "unique_id resource_type depends_on file_path original_file_path tags config has_test "
    keys += "has_non_detached_test resource_name name checksum"
    assert set(context) == set(keys.split())


def test_a_meta_that_is_no_mapping_is_named_with_its_file(manifest: dict[str, Any], shop: Path) -> None:
    """As everywhere."""
    manifest["nodes"][ORDERS]["config"]["meta"] = {"cosmos": "red"}
    node = DbtGraph(graph_of(manifest), shop, detach_tests=False).filtered_nodes[ORDERS]

    with pytest.raises(
        ProjectError, match=r"orders \(models/marts/orders\.sql\): meta\.cosmos must be a mapping"
    ):
        _ = node.meta


def test_two_looks_at_a_node_are_equal(project: Any) -> None:
    """They are made when somebody asks."""
    nodes = project()

    assert nodes[ORDERS] == nodes[ORDERS]
    assert {nodes[ORDERS], nodes[ORDERS], nodes[SEED]} == {nodes[SEED], nodes[ORDERS]}
    assert nodes[ORDERS] != ORDERS
    assert repr(nodes[ORDERS]) == f"DbtNode({ORDERS!r})"
    assert isinstance(nodes[ORDERS], DbtNode)


def test_a_thousand_configurations_are_kept_as_one(manifest: dict[str, Any]) -> None:
    """What differs is kept of each: the graph is read at every import."""
    long = {**DEFAULTS, "text": "x" * 500}
    models = {
        f"model.corner_shop.m{number}": {
            **manifest["nodes"][ORDERS],
            "unique_id": f"model.corner_shop.m{number}",
            "config": {**long, "alias": f"m{number}", "materialized": "table"},
        }
        for number in range(1000)
    }
    bare = {key: {**model, "config": {"materialized": "table"}} for key, model in models.items()}

    sizes = [
        len(json.dumps(graph_to_json(graph_of({**manifest, "nodes": {**manifest["nodes"], **added}}))))
        for added in (models, bare)
    ]

    assert sizes[0] - sizes[1] < 1000 * 30
