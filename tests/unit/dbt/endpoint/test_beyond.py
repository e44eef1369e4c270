"""Which nodes of a dbt 2 project are real dbt's from the start."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.endpoint.beyond import Beyond

Json = dict[str, Any]


def _manifest(**macros: str) -> Json:
    found = {
        f"macro.shop.{name}": {
            "unique_id": f"macro.shop.{name}",
            "name": name,
            "package_name": "shop",
            "macro_sql": text,
        }
        for name, text in macros.items()
    }
    return {
        "macros": {**found, **_of_dbt("is_incremental", "{% set relation = load_relation(this) %}")},
        "nodes": {},
    }


def _of_dbt(name: str, text: str) -> Json:
    unique_id = f"macro.dbt.{name}"
    return {unique_id: {"unique_id": unique_id, "name": name, "package_name": "dbt", "macro_sql": text}}


def _model(code: str = "select 1", **config: Any) -> Json:
    return {"resource_type": "model", "raw_code": code, "config": {"materialized": "table", **config}}


@pytest.mark.parametrize("materialized", ["view", "table", "incremental", "ephemeral"])
def test_common_models_are_recorded(materialized: str) -> None:
    assert Beyond(_manifest()).why(_model(materialized=materialized)) is None


@pytest.mark.parametrize("kind", ["seed", "snapshot", "unit_test", "test"])
def test_other_kinds_are_recorded_with_dbts_own_materialization(kind: str) -> None:
    node = {**_model(), "resource_type": kind, "depends_on": {"nodes": []}}

    assert Beyond(_manifest()).why(node) is None
    macro = {"unit_test": "unit"}.get(kind, kind)
    assert "of its own" in str(Beyond(_manifest(**{f"materialization_{macro}_bigquery": "..."})).why(node))


def test_a_function_is_real_dbts() -> None:
    assert Beyond(_manifest()).why({**_model(), "resource_type": "function"})


def test_a_unit_test_is_what_its_model_is() -> None:
    manifest = _manifest()
    manifest["nodes"]["model.shop.a"] = _model(
        "{% if adapter.get_relation('p', 'd', 'x') %} select 1 {% endif %}"
    )
    test = {"resource_type": "unit_test", "config": {}, "depends_on": {"nodes": ["model.shop.a"]}}

    assert "adapter.get_relation" in str(Beyond(manifest).why(test))


def test_a_model_is_what_the_ephemeral_models_are_that_become_part_of_it() -> None:
    manifest = _manifest()
    looks = _model("{% if load_relation(ref('x')) %} select 1 {% endif %}", materialized="ephemeral")
    middle = _model("select * from {{ ref('looks') }}", materialized="ephemeral")
    manifest["nodes"] = {
        "looks": {**looks, "unique_id": "looks"},
        "middle": {**middle, "unique_id": "middle", "depends_on": {"nodes": ["looks"]}},
        "stored": {**_model(), "unique_id": "stored", "depends_on": {"nodes": ["looks"]}},
    }
    beyond = Beyond(manifest)

    assert "load_relation" in str(beyond.why({**_model(), "depends_on": {"nodes": ["middle"]}}))
    assert beyond.why({**_model(), "depends_on": {"nodes": ["stored"]}}) is None


def test_a_hook_is_what_the_macros_are_that_it_may_call() -> None:
    """Those that take the place of dbt's own only where a macro of dbt's calls them."""
    manifest = _manifest(create_schema="{% do adapter.get_relation(a, b, c) %}")
    manifest["macros"].update(_of_dbt("prepare", "{{ create_schema(x) }} {{ load_result('x') }}"))
    beyond = Beyond(manifest)

    assert beyond.why_no_hook({"raw_code": "select 1"}) is None
    assert "create_schema uses adapter.get_relation" in str(
        beyond.why_no_hook({"raw_code": "{{ prepare() }}"})
    )
    assert "selected_resources" in str(beyond.why_no_hook({"raw_code": "{{ selected_resources | length }}"}))
    assert beyond.hook_asks({"raw_code": "{% do run_query('call p.d.proc()') %}"})


def test_whose_code_asks_for_columns_is_told() -> None:
    """By itself, in macros, or through a macro of dbt's own."""
    manifest = _manifest(star="{% set found = adapter.get_columns_in_relation(x) %}")
    manifest["macros"].update(_of_dbt("default__diff", "{{ get_columns_in_relation(x) }}"))
    beyond = Beyond(manifest)

    assert beyond.reads_columns(_model("select {{ star() }}"))
    assert beyond.reads_columns(_model("select {{ dbt.diff() }}"))
    assert not beyond.reads_columns(_model("select 1"))
    assert beyond.reads_columns({**_model(), "resource_type": "unit_test", "depends_on": {"nodes": []}})


@pytest.mark.parametrize(
    "node",
    [
        {**_model(), "language": "python"},
        _model(materialized="materialized_view"),
        _model(materialized="incremental", incremental_strategy="microbatch"),
        _model(materialized="incremental", partition_by={"field": "day", "copy_partitions": True}),
        _model(persist_docs={"columns": True}, contract={"enforced": True}),
        _model(materialized="view", grant_access_to=[{"project": "p", "dataset": "d"}]),
    ],
)
def test_what_cannot_be_seen_in_requests_is_real_dbts(node: Json) -> None:
    assert Beyond(_manifest()).why(node)


@pytest.mark.parametrize(
    "code",
    [
        "{% if adapter.get_relation(this.database, this.schema, 'x') %} select 1 {% endif %}",
        "{% set r = load_relation(ref('x')) %} select 1",
        "{{ load_result('main') }}",
        "{{ selected_resources }}",
        "{% set known = adapter %} select 1",
        "{% set found, r = get_or_create_relation('p', 'd', 'x', 'table') %}",
    ],
)
def test_code_that_looks_at_what_comes_by_no_request_is_real_dbts(code: str) -> None:
    assert "is in no request" in str(Beyond(_manifest()).why(_model(code)))


def test_such_code_is_found_in_macros_that_macros_call() -> None:
    manifest = _manifest(
        outer="{{ inner() }}", default__inner="{% do adapter.list_relations_without_caching(x) %}"
    )

    assert "The macro default__inner" in str(Beyond(manifest).why(_model("{{ outer() }}")))
    assert Beyond(manifest).why(_model("select 1")) is None


def test_such_code_is_found_in_hooks() -> None:
    assert Beyond(_manifest()).why(_model(**{"post-hook": [{"sql": "{{ load_result('main') }}"}]}))


def test_macros_that_take_the_place_of_dbts_own_count_for_all() -> None:
    manifest = _manifest(is_incremental="{{ return(load_relation(this) is not none) }}")

    assert Beyond(manifest).why(_model())


def test_what_a_comment_says_does_not_count() -> None:
    assert Beyond(_manifest()).why(_model("{# adapter.get_relation #} select 1")) is None


def test_dispatching_and_quoting_look_at_nothing() -> None:
    code = "{{ adapter.dispatch('x', 'shop')() }} {{ adapter.quote('a') }}"

    assert Beyond(_manifest()).why(_model(code)) is None


def test_a_materialization_of_the_projects_own_is_real_dbts() -> None:
    manifest = _manifest(materialization_table_bigquery="...")

    assert "of its own" in str(Beyond(manifest).why(_model()))


def test_tests_are_real_dbts_where_an_option_decides_about_them() -> None:
    test = {"resource_type": "test", "raw_code": "select 1", "config": {}}

    assert Beyond(_manifest()).why(test) is None
    assert Beyond(_manifest(), tests="It is so.").why(test) == "It is so."


def test_nodes_whose_code_sends_queries_are_told() -> None:
    manifest = _manifest(ask="{% set rows = run_query('select 1') %}")

    assert Beyond(manifest).asks(_model("{{ ask() }}"))
    assert not Beyond(manifest).asks(_model("select 1"))
