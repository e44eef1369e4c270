"""What dbt says of a node while it is only planned."""

from __future__ import annotations

import functools
from typing import Any

from .inside import need  # type: ignore[import-not-found]  # loaded by __main__


def tests_say_planned() -> None:
    """Have dbt not say PASS of a test that nobody has run yet."""
    from dbt.task.test import TestRunner
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.format import format_fancy_output_line
    from dbt_common.events.functions import fire_event
    from dbt_common.events.types import Note

    need(TestRunner, "print_result_line", "describe_node_name")
    print_result_line = TestRunner.print_result_line

    @functools.wraps(print_result_line)
    def planned_line(runner: Any, result: Any) -> None:
        if str(result.status) != "pass":
            print_result_line(runner, result)
            return
        line = format_fancy_output_line(
            msg=f"OK test {runner.describe_node_name()}",
            status=result.message,
            index=runner.node_index,
            total=runner.num_nodes,
            execution_time=result.execution_time,
        )
        fire_event(Note(msg=line), level=EventLevel.INFO)

    TestRunner.print_result_line = planned_line


def freshness_says_planned() -> None:
    """Have dbt not say how old a source is that nobody has asked about yet."""
    from dbt.task.freshness import FreshnessRunner
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.format import format_fancy_output_line
    from dbt_common.events.functions import fire_event
    from dbt_common.events.types import Note

    need(FreshnessRunner, "after_execute")
    after_execute = FreshnessRunner.after_execute

    @functools.wraps(after_execute)
    def planned_line(runner: Any, result: Any) -> None:
        if str(result.status) == "runtime error":
            after_execute(runner, result)
            return
        line = format_fancy_output_line(
            msg=f"OK freshness of {runner.node.source_name}.{runner.node.name}",
            status=result.message or "planned",
            index=runner.node_index,
            total=runner.num_nodes,
            execution_time=result.execution_time,
        )
        fire_event(Note(msg=line), level=EventLevel.INFO)

    FreshnessRunner.after_execute = planned_line
