"""
on-run-start hooks: what they read is planned for, and each has its result.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import Guard, GuardKind
from tests.dbt.kinds.conftest import told

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]

FILES = {
    "dbt_project.yml": """
        name: kinds
        version: "1.0"
        profile: kinds
        on-run-start:
          - create table if not exists {{ target.schema }}.log (said string)
          - "{{ remember() }}"
          - insert into {{ target.schema }}.log values (cast({{ var('wrong', 1) }} as string))
          - insert into {{ target.schema }}.log values ('last')
        on-run-end: insert into {{ target.schema }}.log values ('{{ results | length }} results')
        """,
    "macros/remember.sql": """
        {% macro remember() %}
        {% set numbers = adapter.get_relation(target.database, target.schema, "numbers") %}
        {% if execute and numbers is not none %}
            {% set count = run_query("select count(*) from " ~ numbers).columns[0].values()[0] %}
            insert into {{ target.schema }}.log values ('there were {{ count }}')
        {% endif %}
        {% endmacro %}
        """,
    "models/numbers.sql": """
        {{ config(materialized="table") }}
        select 1 as id union all select {{ var("second", 2) }}
        """,
}

#: dbt's default up to 1.11; since 1.12 no node is built then.
GOES_ON = """
        flags: {skip_nodes_if_on_run_start_fails: false}
        """


def test_hooks_read_what_was_there_before_the_run(pair: Any) -> None:
    """Also of a table that this very run replaces, and each hook is a result of the run."""
    both = pair(FILES)

    for step in ("first", "second"):
        ours, theirs = both.ours(step), both.theirs(step)

        assert ours.by_dbt == {}
        assert told(ours) == told(theirs)
        assert told(ours)["operation.kinds.kinds-on-run-start-1"][:3] == (
            "success",
            "kinds.on-run-start.1 passed",
            0,
        )

    mine, dbts = both.dumps()
    assert mine == dbts
    assert [row["said"] for row in mine["log"]["rows"]].count("there were 2") == 1
    reads = [
        step.expected for step in ours.prelude if isinstance(step, Guard) and step.kind is GuardKind.ROWS
    ]
    assert reads == [[["2"]]]


def test_a_hook_that_fails_is_told_as_dbt_tells_it(pair: Any) -> None:
    """The hooks after it are skipped, and the nodes are built."""
    both = pair({**FILES, "dbt_project.yml": FILES["dbt_project.yml"] + GOES_ON})

    ours = both.ours("first", vars={"wrong": "no_such_column"})
    theirs = both.theirs("first", "--vars", "{wrong: no_such_column}")

    assert told(ours)["model.kinds.numbers"] == told(theirs)["model.kinds.numbers"]
    for hook in (2, 3):
        name = f"operation.kinds.kinds-on-run-start-{hook}"
        (mine, said, *rest), (dbts, said_there, *rest_there) = told(ours)[name], told(theirs)[name]
        assert (mine, rest) == (dbts, rest_there)
        assert str(said).splitlines()[0] == str(said_there).splitlines()[0]
    assert told(ours)["operation.kinds.kinds-on-run-start-2"][0] == "error"
    assert told(ours)["operation.kinds.kinds-on-run-start-3"][:2] == (
        "skipped",
        "kinds.on-run-start.3 skipped",
    )


def test_whether_nodes_are_built_behind_a_failed_hook_is_dbts_default(pair: Any) -> None:
    """Since 1.12 they are not; who says otherwise is heard."""
    skips = not pair.version.startswith(("1.9", "1.11"))
    both = pair(FILES)
    theirs = both.theirs("first", "--vars", "{wrong: no_such_column}")
    assert theirs.results["model.kinds.numbers"]["status"] == ("skipped" if skips else "success")

    if not skips:
        assert told(both.ours("first", vars={"wrong": "no_such_column"})) != {}
        return
    with pytest.raises(CosmosAsyncError, match="the project runs no node then"):
        both.ours("first", vars={"wrong": "no_such_column"})
