"""What dbt 2 is told to build, in few words."""

from __future__ import annotations

from typing import Any

from cosmos_async.dbt.endpoint.program import terms


def _nodes(kind: str, count: int) -> list[dict[str, Any]]:
    return [
        {"unique_id": f"{kind}.p.{at}", "resource_type": kind, "fqn": ["p", str(at)]} for at in range(count)
    ]


MODELS, TESTS = _nodes("model", 3), _nodes("test", 3)


def test_a_kind_that_is_whole_is_one_term() -> None:
    assert terms([*MODELS, *TESTS], [*MODELS, *TESTS]) == (["resource_type:model", "resource_type:test"], [])


def test_of_a_kind_that_is_not_whole_each_node_is_named() -> None:
    """dbt would leave out the tests of a model that is excluded."""
    select, exclude = terms([*MODELS[1:], *TESTS], [*MODELS, *TESTS])

    assert select == ["fqn:p.1,resource_type:model", "fqn:p.2,resource_type:model", "resource_type:test"]
    assert exclude == []


def test_a_few_tests_are_excluded() -> None:
    assert terms(TESTS[1:], TESTS) == (["resource_type:test"], ["fqn:p.0,resource_type:test"])
    assert terms(TESTS[:1], TESTS) == (["fqn:p.0,resource_type:test"], [])


def test_where_nobody_knows_what_else_there_is_each_node_is_named() -> None:
    assert terms(MODELS[:1], ()) == (["fqn:p.0,resource_type:model"], [])
