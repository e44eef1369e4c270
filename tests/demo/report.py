"""
What the demonstration shows: a line per node, rows of a mart, and what workers were used for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cosmos_async.plan.outcome import Outcome, load_outcome

if TYPE_CHECKING:
    from tests.airflow.harness import RunEnd
    from tests.airflow.stage import Stage
    from tests.warehouse.fixture import Warehouse

NODE_OPERATORS = frozenset(
    f"Dbt{kind}AsyncOperator" for kind in ("Run", "Seed", "Snapshot", "Test", "Build", "Node")
)
MART = "select name, city, orders, spent, last_order from `{project}`.shop_marts.customers order by spent desc limit 5"


def read_outcomes(stage: Stage, dag_id: str, run_id: str) -> list[Outcome]:
    """Return what became of each node of a run, from the artifacts that the run left in the store."""
    names = [
        name for name in stage.stored_names(f"dbt/{dag_id}/") if name.endswith(f"/{run_id}/outcomes.json")
    ]
    found: list[Outcome] = []
    for name in names:
        kept = json.loads(stage.stored(name))["outcomes"]
        found.extend(load_outcome(json.dumps(each).encode()) for each in kept)
    return sorted(found, key=lambda outcome: outcome.started_at)


def print_nodes(stage: Stage, dag_id: str, end: RunEnd) -> None:
    """Print a table with a line per dbt node."""
    rows = [
        (
            outcome.unique_id.split(".", 2)[0],
            _short(outcome.unique_id.split(".")[2]),
            outcome.level.value,
            outcome.status.value,
            f"{outcome.seconds:.1f}",
            str(outcome.bytes_processed),
            _main_job(outcome),
        )
        for outcome in read_outcomes(stage, dag_id, end.run_id)
    ]
    print()
    print_table(("kind", "node", "level", "state", "seconds", "bytes", "BigQuery job"), rows, right={4, 5})


def print_worker_seconds(end: RunEnd) -> None:
    """Print how many seconds of a worker the nodes used, and who else used any."""
    nodes = [task for task in end.tasks if task.operator in NODE_OPERATORS]
    others = [task for task in end.tasks if task.operator not in NODE_OPERATORS and task.worker_seconds]
    print(f"\nworker seconds of {len(nodes)} node tasks: {sum(task.worker_seconds for task in nodes):.1f}")
    for task in others:
        print(f"worker seconds of {task.task_id}: {task.worker_seconds:.1f}")


def print_mart(warehouse: Warehouse) -> None:
    """Print some rows of a mart."""
    rows = warehouse.query(MART.format(project=warehouse.project))
    print("\nshop_marts.customers, the best five:\n")
    print_table(tuple(rows[0]), [tuple(str(value) for value in row.values()) for row in rows], right={2, 3})
    print()


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> None:
    """Print aligned columns; those in *right* align to the right."""
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    for row in [titles, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())


def _short(name: str, longest: int = 40) -> str:
    """Return *name*, cut to a column's width."""
    return name if len(name) <= longest else f"{name[: longest - 3]}..."


def _main_job(outcome: Outcome) -> str:
    """Return the id of the job that did the node's main work."""
    for job in outcome.jobs:
        if job.purpose == "main":
            return job.job_id
    return outcome.jobs[-1].job_id if outcome.jobs else "-"
