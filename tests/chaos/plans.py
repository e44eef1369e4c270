"""
The project that is run: some hundred nodes of every kind, made up from their number alone.

Pure. The DAG, the setup task and the checker all make the same of it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from cosmos_async.plan.model import Guard, GuardKind, JobOperation, Level, NodePlan, Step, TestRule

PROJECT, DATASET = "p", "chaos"
JOURNAL = "journal"  # what inserts go into
LAYERS = 5
#: How long statements take, and how many of each.
SECONDS = (1, 3, 8, 40, 600)
_WEIGHTS = (50, 30, 12, 8)
CREATE_SCHEMA = f"create schema if not exists `{PROJECT}`.`{DATASET}`"
_MARK = re.compile(r"/\* seconds:(\d+) \*/")


@dataclass(frozen=True)
class Node:
    """One node of the project."""

    name: str
    kind: str  #: ``table``, ``steps`` (two statements), ``insert`` (DML), ``test``
    parents: tuple[str, ...]
    seconds: tuple[int, ...]  #: of each statement
    mark: str = ""  #: what the run was started with, as a project's vars are

    @property
    def unique_id(self) -> str:
        """dbt's id."""
        return f"{'test' if self.kind == 'test' else 'model'}.chaos.{self.name}"


def project(count: int) -> list[Node]:
    """Return *count* nodes in layers, each with one to three parents in the layer above."""
    chance = random.Random(count)
    width = -(-count // LAYERS)
    nodes: list[Node] = []
    for number in range(count):
        layer = number // width
        above = nodes[(layer - 1) * width : layer * width] if layer else []
        parents = chance.sample(above, min(len(above), chance.randint(1, 2)))
        kind = chance.choices(("table", "steps", "insert", "test"), (50, 20, 15, 15))[0]
        seconds = chance.choices(SECONDS[:-1], _WEIGHTS, k=2 if kind == "steps" else 1)
        nodes.append(Node(f"n{number:03d}", kind, tuple(parent.name for parent in parents), tuple(seconds)))
    return nodes


def plan_of(node: Node) -> NodePlan:
    """Return what setup would have planned for *node*."""
    table = f"`{PROJECT}`.`{DATASET}`.`{node.name}`"
    statements = {
        "table": [f"create or replace table {table} as select 1 as id"],
        "steps": [
            f"create or replace table `{PROJECT}`.`{DATASET}`.`{node.name}__tmp` as select 1 as id",
            f"create or replace table {table} as select 1 as id",
        ],
        "insert": [f"insert into `{PROJECT}`.`{DATASET}`.`{JOURNAL}` (node) values ('{node.name}')"],
        "test": ["select 0 as failures, false as should_warn, false as should_error"],
    }[node.kind]
    mark = f"/* mark:{node.mark} */ " if node.mark else ""
    create = _job(CREATE_SCHEMA, shared=f"create_schema:{PROJECT}.{DATASET}", purpose="create schema")
    where = {"project": PROJECT, "dataset": DATASET}
    dataset = Guard(GuardKind.DATASET, f"{PROJECT}.{DATASET}", where, {"location": "US"})
    jobs = [
        _job(
            f"/* node:{node.name} step:{number} */ /* seconds:{node.seconds[number]} */ {mark}{sql}",
            main=node.kind != "test" and number == len(statements) - 1,
            rows=node.kind == "test",
        )
        for number, sql in enumerate(statements)
    ]
    steps: list[Step] = [create, dataset, *jobs]
    return NodePlan(
        unique_id=node.unique_id,
        name=node.name,
        resource_type="test" if node.kind == "test" else "model",
        level=Level.GUARDED,
        reason="",
        materialized=None if node.kind == "test" else "table",
        relation=f"{PROJECT}.{DATASET}.{node.name}",
        file=f"models/{node.name}.sql",
        compiled_code="select 1 as id",
        steps=tuple(steps),
        test=TestRule() if node.kind == "test" else None,
    )


def slow_node(name: str = "slow") -> Node:
    """Return a node whose statement takes ten minutes, for endings."""
    return Node(name, "table", (), (600,))


def many_slow_nodes() -> list[Node]:
    """Return enough such nodes for two triggerers to share."""
    return [slow_node(f"slow{number}") for number in range(45)]


def quick_and_slow() -> tuple[Node, Node]:
    """Return a node that ends at once, and one that does not."""
    return Node("quick", "table", (), (1,)), slow_node()


def prelude() -> tuple[Step, ...]:
    """Return the run's on-run-start hook."""
    return (_job("/* hook */ /* seconds:1 */ select 'on-run-start'", purpose="on-run-start"),)


def marked_seconds(sql: str) -> float:
    """Return how long a statement takes."""
    found = _MARK.search(sql)
    return float(found.group(1)) if found else 0.0


def _job(sql: str, **changes: Any) -> JobOperation:
    defaults: dict[str, Any] = {
        "purpose": "main",
        "project": PROJECT,
        "location": "US",
        "configuration": {"query": {"query": sql, "useLegacySql": False}},
    }
    return JobOperation(**{**defaults, **changes})
