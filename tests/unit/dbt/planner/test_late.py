"""Nodes of several tasks that are planned in one dbt: refused where one could get what is only right for another."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.process import Finished
from cosmos_async.exceptions import PlanError
from cosmos_async.plan.model import RunInfo

RUN = RunInfo("d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1")
BETWEEN = "model.shop.between"


class Dbt:
    """A dbt that records nothing but what it is told to have seen."""

    program = None  # it is dbt 1

    def __init__(self, folder: Path, **seen: Any) -> None:
        self.workspace = SimpleNamespace(target_path=folder)
        self._seen = seen

    def arguments(self, command: str) -> list[str]:
        return [command]

    def with_parsed_project(self, start: Callable[[bool], Finished], *, kept: bool) -> Finished:
        return start(True)

    def record(self, arguments: Sequence[str], out: Path, options: Sequence[str]) -> Finished:
        nodes = {name: node(name) for name in ("model.shop.orders", *self._seen.pop("also", ()))}
        recorded = {
            "format": 1,
            "nodes": nodes,
            "events": {},
            "flags": {},
            "environment": [],
            "inherited": [],
        }
        out.write_text(json.dumps({**recorded, "run": {"listings": {}}, **self._seen}))
        return SimpleNamespace(exit_code=0)  # type: ignore[return-value]


def node(unique_id: str) -> dict[str, Any]:
    """What the recorder says of a node that dbt passes by."""
    return {
        "unique_id": unique_id,
        "name": unique_id.rpartition(".")[2],
        "resource_type": "model",
        "ephemeral": unique_id == BETWEEN,
        "status": "success",
        "materialized": "view",
        "relation": None,
        "fqn": [],
        "file": "models/orders.sql",
        "compiled_code": "select 1",
        "main_job": None,
        "message": None,
        "depends_on": [],
    }


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (
            {"environment": ["HOME", "AIRFLOW_CTX_TASK_ID"]},
            "AIRFLOW_CTX_TASK_ID, which each task has for itself",
        ),
        (
            {"inherited": [BETWEEN]},
            f"{BETWEEN} reads the warehouse, is ephemeral, and is not selected itself",
        ),
    ],
)
def test_what_belongs_to_one_task_is_not_planned_for_another(
    tmp_path: Path, seen: dict[str, Any], why: str
) -> None:
    """For one task alone it is right."""
    with pytest.raises(PlanError, match=why):
        plan_late(Dbt(tmp_path, **seen), {"model.shop.orders": "r"}, run=RUN, apart=True)  # type: ignore[arg-type]

    assert plan_late(Dbt(tmp_path, **seen), {"model.shop.orders": "r"}, run=RUN).nodes  # type: ignore[arg-type]


def test_an_ephemeral_model_that_is_selected_is_no_hindrance(tmp_path: Path) -> None:
    """What it reads is known of each of its children."""
    dbt = Dbt(tmp_path, inherited=[BETWEEN], also=(BETWEEN,), environment=["AIRFLOW_CTX_DAG_ID"])

    assert plan_late(dbt, {"model.shop.orders": "r"}, run=RUN, apart=True).nodes  # type: ignore[arg-type]
