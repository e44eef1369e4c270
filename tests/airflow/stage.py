"""
A stage to play on: the local warehouse with Cloud Storage and a token endpoint, and a real Airflow connected to it.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.airflow.harness import ROOT, Airflow, Say, start_airflow
from tests.airflow.processes import Processes, plain_environment
from tests.warehouse.fixture import Warehouse

BUCKET = "shop-dbt"
PROJECT = "shop-project"
CONNECTION = "google_cloud"


@dataclass(frozen=True)
class Stage:
    """What is running."""

    airflow: Airflow
    warehouse: Warehouse
    bucket: str = BUCKET

    def stored(self, name: str) -> bytes:
        """Return the content of an object of the bucket."""
        return self._storage(f"{urllib.parse.quote(name, safe='')}?alt=media")

    def stored_names(self, prefix: str = "") -> list[str]:
        """Return the names of the bucket's objects that begin with *prefix*."""
        listed = json.loads(self._storage(f"?{urllib.parse.urlencode({'prefix': prefix})}"))
        return sorted(item["name"] for item in listed.get("items", ()))

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job the warehouse has seen, newest first."""
        return self.warehouse.jobs()

    def _storage(self, rest: str) -> bytes:
        url = f"{self.warehouse.endpoint}/storage/v1/b/{self.bucket}/o{'' if rest.startswith('?') else '/'}{rest}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.warehouse.token()}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())


def environment(version: str) -> Path:
    """Return the interpreter of the environment with this Airflow."""
    python = ROOT / f".venvs/airflow-{version}/bin/python"
    if not python.exists():
        raise FileNotFoundError(
            f"{python} is missing: `make test`, `make demo`, `make matrix` or `make bench-run` makes it"
        )
    return python


@contextmanager
def start_warehouse(
    folder: Path, *, job_ms: int = 0, standin_ms: float | None = None, say: Say = lambda text: None
) -> Iterator[Warehouse]:
    """
    Start the local warehouse with one bucket, and end it with us.

    Args:
        folder: Where it keeps its data, its log and its key.
        job_ms: How long each job takes at least.
        standin_ms: Take the stand-in without SQL (``tests.bench.standin``) in its place, whose requests take that long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / "key.json"
    words = [sys.executable, "-m", "tests.warehouse", "--data-dir", folder]
    if standin_ms is not None:
        words = [sys.executable, "-m", "tests.bench.standin", "--latency-ms", str(standin_ms)]
    words += ["--key-file", key_file, "--project", PROJECT, "--bucket", BUCKET, "--job-ms", str(job_ms)]
    with Processes(folder) as processes:
        say("local warehouse: starting (BigQuery's API over DuckDB, Cloud Storage, tokens)")
        processes.start("warehouse", words, {**plain_environment(), "PYTHONPATH": str(ROOT)}, ROOT)

        def ready() -> dict[str, Any] | None:
            lines = processes.tail("warehouse", 1000).splitlines()
            found = (line for line in lines if line.startswith("{") and '"endpoint"' in line)
            return next((json.loads(line) for line in found), None)

        answer = processes.wait_until("the warehouse answers", ready, 120)
        yield Warehouse(
            endpoint=answer["endpoint"],
            token_uri=answer["token_uri"],
            project=PROJECT,
            key=json.loads(key_file.read_text()),
            key_file=key_file,
            pid=processes.pids["warehouse"],
            emulator_pid=answer.get("emulator_pid", processes.pids["warehouse"]),
        )


@contextmanager
def start_stage(
    version: str,
    folder: Path,
    dags: Path,
    *,
    job_ms: int = 0,
    standin_ms: float | None = None,
    env: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> Iterator[Stage]:
    """
    Start the warehouse and an Airflow that is connected to it.

    Args:
        version: Such as ``3.3`` or ``2.11``.
        folder: For everything they keep.
        dags: The folder with DAG files.
        job_ms: How long each BigQuery job takes at least.
        standin_ms: As of :func:`start_warehouse`.
        env: More variables for Airflow.
    """
    with (
        start_warehouse(folder / "warehouse", job_ms=job_ms, standin_ms=standin_ms, say=say) as warehouse,
        connect_airflow(version, folder, dags, warehouse, env=env, say=say) as stage,
    ):
        yield stage


@contextmanager
def connect_airflow(
    version: str,
    folder: Path,
    dags: Path,
    warehouse: Warehouse,
    *,
    bucket: str = BUCKET,
    env: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> Iterator[Stage]:
    """
    Start an Airflow that is connected to a warehouse.

    Args:
        version: Such as ``3.3`` or ``2.11``.
        folder: For everything it keeps.
        dags: The folder with DAG files.
        warehouse: Which is running.
        bucket: One of its buckets, for plans.
        env: More variables for Airflow.
    """
    settings = {
        "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": f"gs://{bucket}/dbt",
        "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": warehouse.endpoint,
        "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": warehouse.endpoint,
        "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(folder / "cache"),
        # In Airflow 2 a worker that has ended a task schedules what comes next as well. Where that is a mapped task, both
        # expand it at times, and the scheduler ends with sqlalchemy's StaleDataError (seen with 2.11.2).
        "AIRFLOW__SCHEDULER__SCHEDULE_AFTER_TASK_EXECUTION": "False",
    }
    # dbt 2 wants all that Google's key files have.
    key = {"client_x509_cert_url": warehouse.key["auth_provider_x509_cert_url"], **warehouse.key}
    extra = {"project": warehouse.project, "keyfile_dict": json.dumps(key)}
    connections = {CONNECTION: {"conn_type": "google_cloud_platform", "extra": extra}}
    with start_airflow(
        environment(version),
        folder / "airflow",
        dags,
        connections=connections,
        env={**settings, **(env or {})},
        say=say,
    ) as airflow:
        yield Stage(airflow, warehouse, bucket)
