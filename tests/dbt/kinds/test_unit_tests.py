"""
Unit tests: dbt's own statements, judged by the rows they give; what differs is shown by dbt itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.plan.model import CallOperation, Guard, JobOperation, Level, NodePlan
from tests.dbt.kinds.conftest import told

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]

FILES = {
    "seeds/prices.csv": "id,price,name\n1,2.50,tea\n2,3.00,milk\n",
    "models/doubled.sql": "select id, price * 2 as price, name from {{ ref('prices') }} where price > 0",
    "models/growing.sql": """
        {{ config(materialized="incremental", unique_key="id") }}
        select id, name from {{ ref("doubled") }}
        {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
        """,
    "models/schema.yml": """
        unit_tests:
          - name: doubles
            model: doubled
            given:
              - input: ref('prices')
                rows: [{id: 1, price: 1.5, name: "it's"}, {id: 2, price: 2, name: null}, {id: 3, price: -1}]
            expect:
              rows: [{id: 2, price: 4, name: null}, {id: 1, price: 3, name: "it's"}]
          - name: leaves_out_what_is_free
            model: doubled
            given:
              - input: ref('prices')
                format: csv
                rows: |
                  id,price
                  1,0
            expect: {rows: []}
          - name: grows
            model: growing
            overrides: {macros: {is_incremental: true}}
            given:
              - input: ref('doubled')
                format: sql
                rows: select 1 as id, 'a' as name union all select 2, 'b'
              - input: this
                rows: [{id: 1}]
            expect:
              format: sql
              rows: select 2 as id, 'b' as name
        """,
}
WRONG = FILES["models/schema.yml"].replace("price: 4", "price: 5")


def test_unit_tests_pass_as_dbt_has_them_pass(pair: Any) -> None:
    """On an empty warehouse, where the columns of their inputs are foretold, and on a full one."""
    both = pair(FILES)
    # The columns of `this` have to be there.
    without = {"exclude": "grows"}

    for step, options in (("first", without), ("second", {})):
        ours, theirs = both.ours(step, **options), both.theirs(step, *_words(options))

        assert ours.by_dbt == {}
        assert told(ours) == told(theirs)
        tests = {
            unique_id: plan for unique_id, plan in ours.plans.items() if plan.resource_type == "unit_test"
        }
        if step == "first":
            check_first_run(ours.plan("doubles"))
        assert len(tests) == (2 if options else 3)
        for unique_id, plan in tests.items():
            assert plan.level is Level.GUARDED
            assert told(ours)[unique_id] == ("pass", None, 0, None)
            assert _code(ours, unique_id) == _code(theirs, unique_id) == "SELECT"

    mine, dbts = both.dumps()
    assert mine == dbts
    assert set(mine) == {"prices", "doubled", "growing"}  # no table of a test is left behind


def test_a_unit_test_that_fails_is_shown_by_dbt(pair: Any) -> None:
    """The difference is told in dbt's own words, and nothing else is."""
    both = pair({**FILES, "models/schema.yml": WRONG})

    ours, theirs = both.ours("first", exclude="grows"), both.theirs("first", "--exclude", "grows")

    failed = "unit_test.kinds.doubled.doubles"
    assert ours.by_dbt == {failed: "The rows are not those that were expected; dbt shows how they differ."}
    assert told(ours)[failed] == told(theirs)[failed]
    assert told(ours)[failed][0] == "fail"
    assert "differs from" in str(told(ours)[failed][1])


def check_first_run(plan: NodePlan) -> None:
    """A table for the columns, a look at them, the query, and the table is dropped."""
    steps = [step.kind.value if isinstance(step, Guard) else step.purpose for step in plan.steps]  # type: ignore[union-attr]
    assert steps == ["create schema", "schema", "create temporary table", "schema", "test", "drop"]
    assert isinstance(plan.steps[-1], CallOperation)
    assert isinstance(plan.steps[-2], JobOperation)
    assert plan.steps[-2].rows


def _words(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _code(run: Any, unique_id: str) -> Any:
    return run.results[unique_id]["adapter_response"].get("code")
