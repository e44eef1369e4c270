"""
The bench for dbt 2: a real dbt Core 2 against the local warehouse.

`make .venvs/dbt-2/.ready` sets its environment up; without it, or without a C compiler, `missing` says what is missing and
the tests are skipped. dbt 2 wants a BigQuery driver that is in no package registry, so a wrapper of Apache's stands in for
it (`driver.c`): what dbt sends is what dbt's own adapter and Google's Go client make of a statement, and what dbt's own driver
adds to that is ours (`operations.py`).

    with running_bench(folder) as bench:
        done = bench.dbt("build", project=project, dataset="shop")

What its environment needs is in `Bench.environment`: any process with these variables, which runs `DBT`, reaches the
warehouse where it would reach Google's hosts. A profile's `api_endpoint` is honoured, as dbt's own driver honours it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.warehouse.child import ROOT
from tests.warehouse.dbt import DbtRun, results_in
from tests.warehouse.dbt2.certificates import make_certificates
from tests.warehouse.fixture import BUCKET, Warehouse, running_warehouse

ENVIRONMENT = ROOT / ".venvs" / "dbt-2"
#: The version of dbt Core that is run.
VERSION = "2.0.0-alpha.4"
DBT = ENVIRONMENT / "bin" / "dbt"
#: XDG_CACHE_HOME for dbt 2, which looks for its driver there.
CACHE = ENVIRONMENT / "cache"
#: Without a hyphen: with one, alpha.4 quotes the names in a unit test's query as other warehouses do.
PROJECT = "kitchen"
_PYTHON = ENVIRONMENT / "bin" / "python"
_STEERED = ("DBT_", "KITCHEN_", "SHOP_", "BIGQUERY_", "GOOGLE_", "STORAGE_", "RUST_")


def missing() -> str:
    """Return what keeps the bench from being used, "" where nothing does."""
    if not DBT.exists():
        return "There is no dbt 2: run `make .venvs/dbt-2/.ready`."
    if not any(CACHE.glob("com.getdbt/adbc/*/*")):
        return "dbt 2 has no BigQuery driver, which a C compiler builds: run `make .venvs/dbt-2/.ready` with one."
    return ""


@dataclass(frozen=True)
class Bench:
    """A warehouse that dbt 2 can reach."""

    warehouse: Warehouse
    environment: Mapping[
        str, str
    ]  #: for dbt 2 and whoever starts it: projects' profiles, driver, telemetry off

    def dbt(
        self,
        *arguments: str,
        project: Path,
        dataset: str,
        artifacts: Path | None = None,
        profiles: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> DbtRun:
        """
        Run dbt 2 once.

        Args:
            arguments: The command, such as "build", "--vars", "{day: 2}".
            project: The project's folder, a copy: dbt 2 writes into it.
            dataset: The target's dataset, which the profiles of the checkout's projects read.
            artifacts: The folder for target/ and logs/; the project's by default.
            profiles: The folder of profiles.yml; the project's by default.
            environment: Variables beside the bench's.
        """
        artifacts = artifacts or project
        command = [
            str(DBT),
            *arguments,
            "--project-dir",
            str(project),
            "--profiles-dir",
            str(profiles or project),
        ]
        command += ["--target-path", str(artifacts / "target"), "--log-path", str(artifacts / "logs")]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_STEERED)}
        named = {"KITCHEN_DATASET": dataset, "SHOP_DATASET": dataset, **(environment or {})}
        done = subprocess.run(
            command,
            cwd=project,  # a seed's file is named from there
            env={**inherited, **self.environment, **named},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return DbtRun(done.returncode, done.stdout, results_in(artifacts / "target"))


@contextlib.contextmanager
def running_bench(folder: Path, *options: str) -> Iterator[Bench]:
    """
    Start a warehouse with the Storage API, and the proxy before it; stop both at the end.

    Args:
        folder: For the warehouse's data, certificates and logs.
        options: More of `python -m tests.warehouse`.
    """
    certificates, endpoints = folder / "certificates", folder / "endpoints"
    for each in (certificates, endpoints):
        each.mkdir(parents=True)
    make_certificates(certificates)
    own = [
        "--project",
        PROJECT,
        "--emulator-python",
        str(_PYTHON),
        "--certificates",
        str(certificates),
        "--bucket",
        BUCKET,
    ]
    with (
        running_warehouse(folder, *own, *options) as warehouse,
        _proxy(warehouse, certificates, endpoints) as proxy,
    ):
        yield Bench(
            warehouse,
            {
                **warehouse.dbt_environment,
                "SHOP_KEY_FILE": str(warehouse.key_file),
                "SHOP_PROJECT": warehouse.project,
                "XDG_CACHE_HOME": str(CACHE),
                "ADBC_BENCH_PROXY": proxy,
                "ADBC_BENCH_CA_FILE": str(certificates / "ca.pem"),
                "ADBC_BENCH_ENDPOINTS": str(endpoints),
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            },
        )


@contextlib.contextmanager
def _proxy(warehouse: Warehouse, certificates: Path, endpoints: Path) -> Iterator[str]:
    command = [str(_PYTHON), str(Path(__file__).with_name("proxy.py")), "--warehouse", warehouse.endpoint]
    command += ["--storage", str(warehouse.storage), "--certificates", str(certificates)]
    command += ["--endpoints", str(endpoints)]
    with certificates.with_name("proxy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the proxy did not start (status {process.wait()})")
        yield json.loads(line)["proxy"]
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
