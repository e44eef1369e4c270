"""
The tasks of a run as far as they need no triggerer: setup plans dbt 2, a worker runs it for one node, results are told.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.airflow.compat import DAG
from cosmos_async.operators import ResultsAsyncOperator, SetupAsyncOperator
from cosmos_async.operators.node import DbtSeedAsyncOperator
from cosmos_async.operators.results import ARTIFACTS_KEY
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.operators.worker import work
from cosmos_async.plan.model import Level
from tests.warehouse.child import ROOT
from tests.warehouse.dbt2 import DBT, Bench
from tests.warehouse.dbt2.projects import copy_for_dbt_2

pytestmark = [pytest.mark.slow, pytest.mark.dbt, pytest.mark.warehouse]

SEED, VIEW = "seed.shop.raw_customers", "model.shop.stg_customers"


class Run:
    """One DAG run of the shop."""

    def __init__(self, project: Path) -> None:
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.project = project
        with DAG("shop", schedule=None):
            self.setup = SetupAsyncOperator(
                task_id="setup",
                project_config=ProjectConfig(project, install_dbt_deps=False),
                profile_config=ProfileConfig("shop", "dev", profiles_yml_filepath=project / "profiles.yml"),
                execution_config=ExecutionConfig(dbt_executable_path=DBT),
            )
            self.seed = DbtSeedAsyncOperator(task_id="seed", unique_id=SEED, setup=self.setup)
            self.results = ResultsAsyncOperator(task_id="results", setup=self.setup)

    def context(self, task_id: str) -> Any:
        """Return what Airflow gives a task."""

        def push(key: str, value: Any) -> None:
            self.xcoms[task_id, key] = json.loads(json.dumps(value))

        def pull(task_ids: str, key: str, map_indexes: int, **_: Any) -> Any:
            return self.xcoms.get((task_ids, key))

        more = {"dag_id": "shop", "run_id": "run", "try_number": 1, "map_index": -1}
        return {"ti": SimpleNamespace(task_id=task_id, xcom_push=push, xcom_pull=pull, **more)}


@pytest.fixture
def run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has not begun."""
    monkeypatch.setattr("cosmos_async.operators.setup.require_triggerer", lambda: None)
    variables = {
        **bench.environment,
        "SHOP_DATASET": "operators",
        "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": str(tmp_path / "plans"),
        "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": bench.warehouse.endpoint,
        "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(tmp_path / "cache"),
        "AIRFLOW__COSMOS_ASYNC__REUSE_PLANS": "True",  # of dbt 2, none is
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RUST_BACKTRACE", raising=False)
    return Run(copy_for_dbt_2(ROOT / "tests/demo/shop", tmp_path / "shop"))


def test_real_dbt_2_runs_nodes_on_a_worker_whose_plans_do_not_fit(run: Run, bench: Bench) -> None:
    """What the triggerer asks a worker for is run there, as a part of the run, without the run's hooks."""
    run.setup.execute(run.context("setup"))
    context = run.context("seed")
    plan = RunPlan(run.seed, context)
    index = plan.index()
    assert (index.nodes[SEED].level, index.nodes[VIEW].level) == (Level.STATIC, Level.STATIC)

    for unique_id, way in ((SEED, "dbt"), (VIEW, "late")):
        event = {
            "dbt": [{"unique_id": unique_id, "reason": "It is so.", "way": way}],
            "position": 0,
            "rest": 0,
        }
        assert work(run.seed, context, event) is None

    outcomes = plan.outcomes(index.run)
    assert {name: outcome.status.value for name, outcome in outcomes.items()} == {
        SEED: "success",
        VIEW: "success",
    }
    assert outcomes[VIEW].level is Level.DBT
    assert len(bench.warehouse.query("select * from operators.stg_customers")) > 0
    assert "audit_log" not in bench.warehouse.dump("operators")  # which an on-run-start hook makes

    bench.warehouse.query("create table operators.audit_log (day int64, what string)")
    run.results.execute(run.context("results"))
    folder = Path(run.xcoms["results", ARTIFACTS_KEY])
    results = json.loads((folder / "run_results.json").read_text())
    told = {result["unique_id"]: (result["status"], result["message"]) for result in results["results"]}
    assert (told[SEED], told[VIEW]) == (("success", "Succeeded"), ("success", "Succeeded"))
    assert told["model.shop.customers"] == ("skipped", "Skipped due to upstream failure")
    assert results["metadata"]["invocation_id"] == index.run.invocation_id
    # The on-run-end hook has been told of all of them.
    rows = bench.warehouse.query("select what from operators.audit_log")
    assert [row["what"] for row in rows] == [f"built {len(results['results'])} nodes"]


def test_of_a_version_that_nobody_has_tried_a_worker_runs_each_node(
    run: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setup asks for the project alone, and sends nothing."""
    monkeypatch.setattr("cosmos_async.dbt.environment.program.TRIED", ())
    file = run.project / "dbt_project.yml"
    document = yaml.safe_load(file.read_text())
    document.pop("on-run-start")
    document.pop("on-run-end")
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    since, _ = bench.warehouse.asked(since=1 << 60)

    run.setup.execute(run.context("setup"))

    assert bench.warehouse.asked(since)[1] == []
    context = run.context("seed")
    index = RunPlan(run.seed, context).index()
    assert {node.level for node in index.nodes.values()} == {Level.DBT}
    for unique_id in (SEED, VIEW):
        node = {"unique_id": unique_id, "reason": index.nodes[unique_id].reason, "way": "dbt"}
        assert work(run.seed, context, {"dbt": [node], "position": 0, "rest": 0}) is None
    assert len(bench.warehouse.query("select * from operators.stg_customers")) > 0
