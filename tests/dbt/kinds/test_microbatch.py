"""
Microbatch models: the batches are planned one by one and carried out in dbt's order.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.plan.model import Guard, GuardKind, JobOperation, Level, NodePlan
from tests.dbt.kinds.conftest import told

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]

WINDOW = ("--event-time-start", "2024-01-01", "--event-time-end", "2024-01-05")
FILES = {
    "models/events.sql": """
        {{ config(materialized="table", event_time="at") }}
        {% for day in range(1, 5) %}
        select {{ day }} as id, timestamp '2024-01-0{{ day }} 10:00:00' as at, {{ var("bad", 0) }} as bad
        {{ "union all" if not loop.last }}
        {% endfor %}
        """,
    "models/by_day.sql": """
        {{ config(
            materialized="incremental", incremental_strategy="microbatch", event_time="at", batch_size="day",
            begin="2024-01-01", partition_by={"field": "at", "data_type": "timestamp", "granularity": "day"},
            pre_hook="create table if not exists {{ target.schema }}.hooks (said string)",
            post_hook="insert into {{ target.schema }}.hooks values ('after {{ this.identifier }}')",
        ) }}
        select id, at, cast(if(id = bad, 'x', '1') as int64) as one from {{ ref("events") }}
        """,
    "models/below.sql": "select count(*) as n from {{ ref('by_day') }}",
}


def test_batches_are_built_as_dbt_builds_them(pair: Any) -> None:
    """On the first run, where later batches go into the table that the first one makes, and on the next one."""
    both = pair(FILES)
    options = {"event_time_start": "2024-01-01T00:00:00+00:00", "event_time_end": "2024-01-05"}

    for step in ("first", "second"):
        ours, theirs = both.ours(step, **options), both.theirs(step, *WINDOW)

        assert ours.by_dbt == {}
        assert told(ours) == told(theirs)
        assert told(ours)["model.kinds.by_day"][:2] == ("success", "SUCCESS")
        assert ours.plan("by_day").level is Level.GUARDED
        if step == "first":
            check_first_run(ours.plan("by_day"), threads=4 if both.version != "1.9" else 1)

    mine, dbts = both.dumps()
    assert mine == dbts
    assert len(mine["by_day"]["rows"]) == 4
    assert len(mine["hooks"]["rows"]) == 2


def check_first_run(plan: NodePlan, *, threads: int) -> None:
    """Hooks belong to the first and the last batch, and only what dbt looks at again is looked at again."""
    purposes = [
        [step.purpose for step in batch.steps if isinstance(step, JobOperation)] for batch in plan.batches
    ]
    assert [batch.name for batch in plan.batches] == [f"2024-01-0{day}" for day in range(1, 5)]
    assert purposes == [["create schema", "pre-hook", "main"], ["main"], ["main"], ["main", "post-hook"]]
    first, second = plan.batches[0].steps[0], plan.batches[1].steps[0]
    assert isinstance(first, Guard)
    assert isinstance(second, Guard)
    assert (first.kind, first.expected) == (GuardKind.TARGET_STATE, "absent")
    assert (second.kind, second.predicted) == (GuardKind.SCHEMA, True)
    assert [batch.at_once for batch in plan.batches] == [
        1,
        threads,
        threads,
        1,
    ]  # dbt-bigquery 1.9 never runs two at once


@pytest.mark.slow
def test_a_batch_that_fails_holds_up_the_others_only_if_it_is_the_first(pair: Any) -> None:
    """What failed is told, so that `dbt retry` goes on from there."""
    both = pair(FILES)
    window = {"event_time_start": "2024-01-01", "event_time_end": "2024-01-05"}

    for step, (bad, message) in enumerate([(1, "ERROR"), (3, "PARTIAL SUCCESS (3/4)")]):
        ours = both.ours(str(step), vars={"bad": bad}, **window)
        theirs = both.theirs(str(step), *WINDOW, "--vars", f"{{bad: {bad}}}")

        assert ours.by_dbt == {}
        assert told(ours)["model.kinds.by_day"] == told(theirs)["model.kinds.by_day"]
        assert ours.states["model.kinds.by_day"][1] == message
        assert any(f"ERROR model.kinds.by_day.2024-01-0{bad}: " in line for line in ours.log)
        mine, dbts = both.dumps()
        assert mine.get("by_day") == dbts.get("by_day")
