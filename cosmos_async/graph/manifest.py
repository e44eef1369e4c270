"""dbt's manifest, boiled down to a :class:`~cosmos_async.graph.model.Graph`. Pure, but for reading the file."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cosmos_async.constants import BUILT_RESOURCES, DbtResourceType
from cosmos_async.exceptions import ProjectError
from cosmos_async.graph.model import Graph, Node, Settings, Source, Test, UnitTest
from cosmos_async.plan.ownership import Lineage, depths, unit_test_owner

MOST_DESCRIPTION = 250  # characters of a node's description that its task shows

_BUILT = frozenset(kind.value for kind in BUILT_RESOURCES)

#: What dbt 1 writes into the configuration of each, and dbt 2 leaves out where the project says nothing of it.
_MATERIALIZED = {kind.value: kind.value for kind in BUILT_RESOURCES if kind is not DbtResourceType.MODEL}

#: The configurations that nodes share, by the nodes' kind and the names in them.
Usual = dict[tuple[str, frozenset[str]], dict[str, Any]]


def read_manifest(path: Path) -> dict[str, Any]:
    """
    Return the manifest at *path*.

    Raises:
        ProjectError: There is none, or it is not one.
    """
    try:
        with open(path, "rb") as file:
            manifest = json.load(file)
    except OSError as error:
        raise ProjectError(
            f"Manifest {path} cannot be read ({error.strerror}). Write it with `dbt parse`."
        ) from error
    except ValueError as error:
        raise ProjectError(
            f"Manifest {path} is not JSON ({error}). Write it anew with `dbt parse`."
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("nodes"), dict):
        raise ProjectError(
            f"Manifest {path} has no nodes: it is not dbt's manifest.json. Write it with `dbt parse`."
        )
    return manifest


def has_default_selector(manifest: dict[str, Any]) -> bool:
    """Return whether the project selects by itself when nobody else does (``default: true`` in selectors.yml)."""
    return any(
        isinstance(item, dict) and item.get("default") for item in (manifest.get("selectors") or {}).values()
    )


def graph_of(manifest: dict[str, Any], selected: Collection[str] | None = None) -> Graph:
    """
    Return the graph of what is *selected*, or of the whole project.

    Args:
        manifest: dbt's manifest.
        selected: Unique ids, as ``dbt ls`` gave them.

    Raises:
        ProjectError: The manifest does not know something that is selected.
    """
    resources = {**manifest["nodes"], **(manifest.get("functions") or {})}
    built = {
        unique_id: resource
        for unique_id, resource in resources.items()
        # A model without a file is another project's, and not ours to build.
        if resource.get("resource_type") in _BUILT and resource.get("original_file_path")
    }
    chosen = None if selected is None else frozenset(selected)
    if chosen is not None:
        _check_known(chosen, resources, manifest)
    parents = {unique_id: _parents(resource, built) for unique_id, resource in built.items()}
    position = depths(parents)
    order = sorted(built, key=lambda unique_id: (position[unique_id], unique_id))
    kept = [unique_id for unique_id in order if chosen is None or unique_id in chosen]
    nearest = _nearest(order, parents, frozenset(kept))
    usual: Usual = {}
    nodes = {unique_id: _node(unique_id, built[unique_id], nearest[unique_id], usual) for unique_id in kept}
    # The planner asks dbt for the same, and must come to the same owners.
    lineage = Lineage(
        {
            unique_id: _depends_on(resource)
            for unique_id, resource in resources.items()
            if resource.get("resource_type") in _BUILT
        },
        nodes,
    )
    tests = {
        unique_id: Test(
            unique_id,
            _parents(resource, nodes),
            lineage.place(unique_id, _depends_on(resource)),
            _pass_on(
                tuple(parent for parent in _parents(resource, built) if parent not in nodes), nearest, nodes
            ),
            _file(resource),
            _about_tasks(resource),
            _named(resource, _parents(resource, nodes)),
        )
        for unique_id, resource in sorted(resources.items())
        if resource.get("resource_type") == DbtResourceType.TEST.value
        and (chosen is None or unique_id in chosen)
    }
    unit_tests = {
        unique_id: UnitTest(unique_id, model, _file(resource), _about_tasks(resource))
        for unique_id, resource in sorted((manifest.get("unit_tests") or {}).items())
        if (chosen is None or unique_id in chosen)
        and (model := unit_test_owner(_depends_on(resource), nodes)) is not None
    }
    read = {parent for node in nodes for parent in _depends_on(built[node])}
    sources = {
        unique_id: Source(
            _node(unique_id, resource, (), usual),
            has_freshness=_has_freshness(resource),
            is_read=unique_id in read,
            holds_back=lineage.place(unique_id, [unique_id]).holds_back,
        )
        for unique_id, resource in sorted((manifest.get("sources") or {}).items())
        if chosen is None or unique_id in chosen
    }
    exposures = {
        unique_id: _node(unique_id, resource, _pass_on(_parents(resource, built), nearest, nodes), usual)
        for unique_id, resource in sorted((manifest.get("exposures") or {}).items())
        if chosen is None or unique_id in chosen
    }
    project_name = (manifest.get("metadata") or {}).get("project_name") or ""
    return Graph(project_name, nodes, tests, unit_tests, sources, exposures)


def _depends_on(resource: dict[str, Any]) -> list[str]:
    return (resource.get("depends_on") or {}).get("nodes") or []


def _named(resource: dict[str, Any], depends_on: tuple[str, ...]) -> tuple[str, ...]:
    """Return everything that stands above a resource; the same tuple where that is what is known already."""
    named = tuple(dict.fromkeys(_depends_on(resource)))
    return depends_on if named == depends_on else named


def _parents(resource: dict[str, Any], among: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parent for parent in _depends_on(resource) if parent in among))


def _nearest(
    order: list[str], parents: dict[str, tuple[str, ...]], kept: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    nearest: dict[str, tuple[str, ...]] = {}
    for unique_id in order:  # parents come first
        nearest[unique_id] = _pass_on(parents[unique_id], nearest, kept)
    return nearest


def _pass_on(
    parents: tuple[str, ...], nearest: dict[str, tuple[str, ...]], kept: Collection[str]
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for parent in parents:
        found.update(dict.fromkeys([parent] if parent in kept else nearest[parent]))
    return tuple(found)


def _node(unique_id: str, resource: dict[str, Any], parents: tuple[str, ...], usual: Usual) -> Node:
    config = resource.get("config") or {}
    return Node(
        unique_id=unique_id,
        resource_type=DbtResourceType(resource["resource_type"]),
        package_name=resource.get("package_name") or "",
        fqn=tuple(resource.get("fqn") or ()),
        original_file_path=_file(resource),
        tags=tuple(resource.get("tags") or ()),
        materialized=str(config.get("materialized") or _MATERIALIZED.get(resource["resource_type"], "")),
        meta=_meta(resource),
        description=shortened(str(resource.get("description") or "")),
        depends_on=parents,
        parents=_named(resource, parents),
        settings=_settings(resource["resource_type"], config, usual),
    )


def _settings(kind: str, config: dict[str, Any], usual: Usual) -> Settings:
    """Return a configuration as what differs from that of the first node with the same keys."""
    rest = {name: value for name, value in config.items() if name not in ("meta", "materialized")}
    first = usual.setdefault((kind, frozenset(rest)), rest)
    return Settings(first, {name: value for name, value in rest.items() if value != first[name]})


def shortened(description: str) -> str:
    """Return the first paragraph of a description, bounded: Airflow handles a DAG's tasks as one document, again and again."""
    first = description.strip().split("\n\n")[0].strip()
    return first if len(first) <= MOST_DESCRIPTION else f"{first[: MOST_DESCRIPTION - 1].rstrip()}\u2026"


def _file(resource: dict[str, Any]) -> str:
    return str(resource.get("original_file_path") or "").replace("\\", "/")


def _meta(resource: dict[str, Any]) -> dict[str, Any]:
    # Before dbt 1.10 a source has it beside its configuration.
    return (resource.get("config") or {}).get("meta") or resource.get("meta") or {}


def _about_tasks(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what of a test's meta is about tasks: what is kept of a project's many tests is little."""
    meta = _meta(resource)
    return {name: meta[name] for name in ("owner", "cosmos") if name in meta}


def _has_freshness(source: dict[str, Any]) -> bool:
    """Return whether one of the source's limits is set; dbt writes both into the manifest, set or not."""
    freshness = source.get("freshness") or {}
    limits = (freshness.get(name) or {} for name in ("warn_after", "error_after"))
    return any(limit.get("count") is not None and limit.get("period") for limit in limits)


def _check_known(chosen: frozenset[str], resources: dict[str, Any], manifest: dict[str, Any]) -> None:
    # Only what becomes tasks or tests; sources, exposures and the like may be selected as well.
    wanted = {unique_id for unique_id in chosen if unique_id.split(".", 1)[0] in _BUILT | {"test"}}
    unknown = sorted(wanted - set(resources))
    if unknown:
        written = (manifest.get("metadata") or {}).get("generated_at", "at an unknown time")
        raise ProjectError(
            f"The manifest (written {written}) does not know {unknown[0]}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + ", which dbt selects in the project. Write it anew with `dbt parse`, or leave manifest_path out."
        )
