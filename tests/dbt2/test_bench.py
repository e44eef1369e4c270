"""
Real dbt 2 builds our projects on the bench, and the warehouse ends as dbt 1 leaves it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.dbt_versions import NEWEST
from tests.warehouse.child import ROOT
from tests.warehouse.dbt import dbt
from tests.warehouse.dbt2 import Bench
from tests.warehouse.dbt2.projects import copy_for_dbt_2
from tests.warehouse.fixture import TIMES_OF_A_RUN

pytestmark = [pytest.mark.slow, pytest.mark.dbt, pytest.mark.warehouse]

#: Tests that are meant to warn.
WARNS = (
    "all_orders_are_settled",
    "not_null_customers_email",
    "nobody_orders_for_a_fortune",
    "not_null_stg_customers_email",
)
PROJECTS = {"kitchen": ROOT / "tests/projects/kitchen", "shop": ROOT / "tests/demo/shop"}


def rows(relations: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of each relation alone, without a number: for an on-run-end hook dbt 2 counts ephemeral models."""
    found = {name: relation["rows"] for name, relation in relations.items()}
    for row in found.get("audit_log", ()):
        if "what" in row:  # the shop's
            row["what"] = re.sub(r"built \d+ nodes", "built nodes", row["what"])
    return found


@pytest.mark.parametrize("name", PROJECTS)
def test_two_days_are_built_as_by_dbt_1(bench: Bench, tmp_path: Path, name: str) -> None:
    """Views, tables, incremental models, seeds, snapshots, tests, unit tests, hooks: a first build and a later one."""
    project = copy_for_dbt_2(PROJECTS[name], tmp_path / name)
    for day in (1, 2):
        told = ("build", "--vars", f"{{day: {day}}}")
        done = bench.dbt(*told, project=project, dataset=f"{name}2", artifacts=tmp_path / "two")
        beside = dbt(
            bench.warehouse,
            *told,
            version=NEWEST,
            dataset=f"{name}1",
            artifacts=tmp_path / "one",
            project=PROJECTS[name],
            environment=bench.environment,
        )

        assert done.status == 0, done.output
        assert beside.status == 0, beside.output
        odd = {
            node: state for node, state in done.states.items() if state not in ("success", "pass", "skipped")
        }
        assert {node for node, state in odd.items() if state == "warn"} == set(odd)
        assert all(any(warn in node for warn in WARNS) for node in odd)
        two = bench.warehouse.dump_all(f"{name}2", without=TIMES_OF_A_RUN)
        one = bench.warehouse.dump_all(f"{name}1", without=TIMES_OF_A_RUN)
        assert rows(two) == rows(one)
