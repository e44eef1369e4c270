"""
Runs a real dbt against the warehouse, as a user would from a shell.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forked_dbt import forked_dbt
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse

KITCHEN = ROOT / "tests" / "projects" / "kitchen"


@dataclass(frozen=True)
class DbtRun:
    """What a dbt command left."""

    status: int  #: dbt's exit status
    output: str
    results: dict[str, dict[str, Any]]  #: run_results.json, by the unique id of the node

    @property
    def states(self) -> dict[str, str]:
        """The status of each node, by its unique id."""
        return {node: result["status"] for node, result in self.results.items()}


def dbt(
    warehouse: Warehouse,
    *arguments: str,
    version: str,
    dataset: str,
    artifacts: Path,
    project: Path = KITCHEN,
    environment: Mapping[str, str] | None = None,
) -> DbtRun:
    """
    Run dbt once.

    Args:
        warehouse: Where to.
        arguments: The command, such as "build", "--vars", "{day: 2}".
        version: Of dbt, one of `VERSIONS`.
        dataset: The target's dataset.
        artifacts: The folder for target/ and logs/.
        project: The project's folder, which has its profiles.yml.
        environment: Further variables.
    """
    steered = ("DBT_", "KITCHEN_", "BIGQUERY_", "GOOGLE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(steered)}
    env.update(warehouse.dbt_environment, **(environment or {}))
    env.update(KITCHEN_DATASET=dataset, SHOP_DATASET=dataset)
    command = [str(forked_dbt(version)), "--no-send-anonymous-usage-stats"]
    command += ["--no-use-colors", *arguments, "--project-dir", str(project), "--profiles-dir", str(project)]
    command += ["--target-path", str(artifacts / "target"), "--log-path", str(artifacts / "logs")]
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return DbtRun(done.returncode, done.stdout, results_in(artifacts / "target"))


def results_in(target: Path) -> dict[str, dict[str, Any]]:
    """Return what a run_results.json tells, by the unique id of the node; nothing where there is none."""
    path = target / "run_results.json"
    results = json.loads(path.read_text())["results"] if path.exists() else []
    return {result["unique_id"]: result for result in results}
