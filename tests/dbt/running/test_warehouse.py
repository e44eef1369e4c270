"""
What only a real SQL engine can show: a unit test, a snapshot and a failing test in real dbt, node by node.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.run_node import run_node
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.plan.outcome import Status
from tests.warehouse.fixture import Warehouse, warehouse

from .conftest import KITCHEN, newest_dbt

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse, newest_dbt]


def open_kitchen(
    warehouse: Warehouse, executable: Path, cache_dir: Path, **options: Any
) -> AbstractContextManager[Dbt]:
    env = {**warehouse.dbt_environment, "KITCHEN_DATASET": "node_by_node"}
    invocation = DbtInvocation(
        project_config=ProjectConfig(KITCHEN, env_vars=env),
        profile_config=ProfileConfig("kitchen", "dev", profiles_yml_filepath=KITCHEN / "profiles.yml"),
        execution_config=ExecutionConfig(dbt_executable_path=executable),
        append_env=False,
        **options,
    )
    return open_dbt(invocation, Processes(print), cache_dir=cache_dir, endpoint=warehouse.endpoint)


def test_nodes_without_a_plan_do_their_work(warehouse: Warehouse, executable: Path, tmp_path: Path):
    """
    Each runs alone, on what the nodes before it left in the warehouse.
    """
    with open_kitchen(warehouse, executable, tmp_path) as dbt:
        finished = dbt.run([*dbt.arguments(), "--select", "+int_order_payments", "+stg_orders"])
        assert finished.exit_code == 0, finished.words

        unit_test = run_node(dbt, "unit_test.kitchen.orders.an_unpaid_order_is_not_settled", try_number=1)
        snapshot = run_node(dbt, "snapshot.kitchen.orders_history", try_number=1)
        model = run_node(dbt, "model.kitchen.orders", try_number=1)
        again = run_node(dbt, "snapshot.kitchen.orders_history", try_number=2)

    assert (unit_test.status, unit_test.message) == (Status.PASS, None)
    assert [each.status for each in (snapshot, model, again)] == [Status.SUCCESS] * 3
    assert warehouse.query("select * from node_by_node_marts.orders")
    assert again.message is not None
    assert again.message.startswith("MERGE (0.0 rows")
    # on-run-start made it with the first run; the nodes ran neither hook.
    assert len(warehouse.query("select * from node_by_node.audit_log where event like 'end%'")) == 1
