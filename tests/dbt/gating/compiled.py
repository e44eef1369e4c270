"""
Run by dbt's own interpreter: what ``dbt build`` would run in which order, for one selection after the other.

Standard input: a JSON list of lists of dbt's arguments. Standard output's last line: a JSON list with, for each of them,
``selected`` (nodes and tests by unique id), ``after`` (of each, what dbt skips when it fails) and ``unit_tests`` (by model).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.task.runnable import GraphRunnableTask

answers: list[dict[str, Any]] = []


def run(task: Any) -> None:
    """Compile as dbt does, and look at the graph instead of running it."""
    task._runtime_initialize()
    selected = task.job_queue.get_selected_nodes()
    answers.append(
        {
            "selected": sorted(selected),
            "after": {
                unique_id: sorted(set(task.graph.get_dependent_nodes(unique_id)) & set(selected))
                for unique_id in selected
            },
            "unit_tests": {
                model: sorted(tests)
                for model, tests in task.model_to_unit_test_map.items()
                if model in selected
            },
        }
    )


GraphRunnableTask.run = run
for arguments in json.load(sys.stdin):
    count = len(answers)
    result = dbtRunner().invoke(arguments)
    if len(answers) == count:
        sys.exit(f"dbt did not compile: {result.exception!r}")
print(json.dumps(answers))
