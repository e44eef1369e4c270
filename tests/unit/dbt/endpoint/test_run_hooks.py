"""Which hooks of a run of dbt 2 can be carried out, and what stands before those at its end."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.endpoint.beyond import Beyond
from cosmos_async.dbt.endpoint.end_hooks import fill, literal
from cosmos_async.dbt.endpoint.run_hooks import carriers, hooks_of, refuse_hooks
from cosmos_async.exceptions import ConfigError

Json = dict[str, Any]


def _hook(when: str, code: str = "select 1", at: int = 0) -> Json:
    return {
        "resource_type": "operation",
        "name": f"shop-{when}-{at}",
        "original_file_path": "./dbt_project.yml",
        "raw_code": code,
    }


def _node(kind: str = "model", name: str = "orders", language: str = "sql", **config: Any) -> Json:
    more = {"database": "p", "schema": "d", "language": language, "config": config}
    return {"unique_id": f"{kind}.shop.{name}", "resource_type": kind, **more}


def _manifest(*nodes: Json, **macros: str) -> Json:
    found = {
        name: {"unique_id": name, "name": name, "package_name": "shop", "macro_sql": text}
        for name, text in macros.items()
    }
    return {"macros": found, "nodes": {str(at): node for at, node in enumerate(nodes)}}


def _refuse(manifest: Json, untried: str | None = None) -> None:
    refuse_hooks(manifest, Beyond(manifest), untried=untried)


def test_hooks_of_the_run_come_in_dbts_order() -> None:
    hooks = [_hook("on-run-start", at=at) for at in (10, 9)]

    found = hooks_of(_manifest(*hooks, _hook("on-run-end")), "on-run-start")

    assert found == hooks[::-1]


@pytest.mark.parametrize(
    "macro",
    [
        "{% macro tell(schemas) %}{{ schemas | length }}{% endmacro %}",
        "{% macro tell() %}{% set schemas = [] %}{{ schemas }}{% endmacro %}",
        "{% macro tell() %}{% for name, schemas in all.items() %}{{ schemas }}{% endfor %}{% endmacro %}",
        "{% macro tell() %}{{ other.schemas }}{{ say(schemas=1) }}{{ var('schemas') }}{% endmacro %}",
        "{% macro tell() %}select * from schemas{% endmacro %}",
        "{% macro tell() %}{{ results }}{{ graph }}{% endmacro %}",
    ],
)
def test_hooks_at_the_end_of_runs_are_carried_out(macro: str) -> None:
    _refuse(
        _manifest(_node(), _hook("on-run-end", "{{ tell(schemas) }} {{ selected_resources }}"), tell=macro)
    )


@pytest.mark.parametrize("name", ["schemas", "database_schemas", "selected_resources"])
def test_a_macro_that_looks_for_what_only_the_hook_is_told_is_refused(name: str) -> None:
    """It would find what dbt has been told to build for the hook's sake."""
    macro = "{% macro tell() %}{% for each in " + name + " %}grant{% endfor %}{% endmacro %}"
    manifest = _manifest(_node(), _hook("on-run-end", "{{ tell() }}"), tell=macro)

    with pytest.raises(ConfigError, match=rf"runs the macro tell, which uses {name}.*tell\({name}\)"):
        _refuse(manifest)


def test_memory_between_hooks_of_the_start_and_of_the_end_is_refused() -> None:
    """They are run by two processes."""
    keeps = "{% macro keep() %}{% do graph.update({'kept': 1}) %}{% endmacro %}"
    start = _hook("on-run-start", "{{ keep() }}")

    with pytest.raises(ConfigError, match=r"shop-on-run-start-0.*uses graph"):
        _refuse(_manifest(_node(), start, _hook("on-run-end"), keep=keeps))
    _refuse(_manifest(_node(), start, keep=keeps))


def test_a_project_without_sql_cannot_have_hooks_at_the_end() -> None:
    with pytest.raises(ConfigError, match="no model or test in SQL"):
        _refuse(_manifest(_node(language="python"), _node("seed"), _hook("on-run-end")))


def test_hooks_of_a_dbt_that_was_not_tried_are_refused() -> None:
    with pytest.raises(ConfigError, match="has an on-run-end hook"):
        _refuse(_manifest(_node(), _hook("on-run-end")), untried="2.0.7")


def test_what_changes_least_is_built_for_the_sake_of_hooks() -> None:
    nodes = [
        _node(name="python", language="python"),
        _node(name="incremental", materialized="incremental"),
        _node(name="view"),
        _node("test", name="kept", materialized="test", store_failures=True),
        _node("test", name="plain", materialized="test"),
        _node(name="ephemeral", materialized="ephemeral"),
        _node(name="other", materialized="something"),
        _node("snapshot"),
    ]

    found = [node["unique_id"].split(".")[-1] for node in carriers(_manifest(*nodes))]

    assert found == ["ephemeral", "plain", "kept", "view", "incremental"]


def test_a_value_is_written_as_templates_write_it() -> None:
    value = {"a": [None, True, 1.5], "b": ("x",), "c": 'é "%} {{'}

    assert literal(value) == '{"a": [none, true, 1.5], "b": ("x", ), "c": "é \\"%} {{"}'


def test_a_hook_is_told_of_the_run() -> None:
    """Of what was built, where; a name of ours within a message is left alone."""
    manifest = _manifest(_node(), _node(name="failed"), _node("test"))
    manifest["nodes"] = {node["unique_id"]: node for node in manifest["nodes"].values()}
    manifest["nodes"]["model.shop.failed"]["schema"] = "elsewhere"
    manifest["unit_tests"] = {"unit_test.shop.one": {"name": "one"}}
    states = {
        "model.shop.orders": "success",
        "model.shop.failed": "error",
        "test.shop.orders": "pass",
        "unit_test.shop.one": "pass",
    }
    results = [{"status": state, "message": "SCHEMAS", "unique_id": name} for name, state in states.items()]

    text = fill(results, manifest)

    assert '("model.shop.orders", {"status": "success", "message": "SCHEMAS"}, none, )' in text
    assert '("unit_test.shop.one", {"status": "pass", "message": "SCHEMAS"}, {"name": "one"}, )' in text
    assert 'set schemas = ("d", )' in text
    assert 'set database_schemas = [("p", "d", )]' in text
    assert 'set selected_resources = ("model.shop.orders", "model.shop.failed", ' in text


def test_a_hook_that_looks_at_what_comes_by_no_request_is_refused() -> None:
    """dbt 2 answers it from what it knows, and this dbt does not know what hooks before it would have made."""
    look = "{% if adapter.get_relation(target.project, 'audit', 'runs') %}insert into audit.runs values (1){% endif %}"

    with pytest.raises(
        ConfigError, match=r"shop-on-run-start-0 .* uses adapter\.get_relation.* run-operation"
    ):
        _refuse(_manifest(_hook("on-run-start", look)))
