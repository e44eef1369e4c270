"""
Record a project on the stand-in, then build it there with real dbt, and keep what each asked Google for.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.dbt.planner.planner import Plan, make_plan
from cosmos_async.testing import FakeGoogle, Request
from tests.forked_dbt import forked_dbt

ROOT = Path(__file__).parents[2]
RECORDER = (ROOT / "cosmos_async" / "dbt" / "scripts", "recorder.main")
PROJECT = ROOT / "tests" / "projects" / "writes"
NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    exit_code: int
    output: str


@dataclass
class Recorded:
    """A recording, and what was seen while it was made and while dbt built the same for real."""

    ended: Ended
    recording: dict[str, Any]
    plan: Plan
    requests: list[Request]  #: while recording
    mutations: list[Request]  #: while recording
    tables_before: list[str]
    tables_after: list[str]
    built: list[Request] = field(default_factory=list)  #: the mutations of real dbt
    folder: Path = Path()


def profile_of(name: str, project_id: str, *, threads: int = 1) -> str:
    """Return the profiles.yml of a project that is recorded into the dataset ``shop``, by :func:`record`."""
    return f"""
{name}:
  target: dev
  outputs:
    dev:
      type: bigquery
      method: service-account
      keyfile: "{{{{ env_var('WRITES_KEY_FILE') }}}}"
      project: {project_id}
      dataset: shop
      location: US
      threads: {threads}
"""


def clean_environment(**values: str) -> dict[str, str]:
    """Return this process' environment without what could steer dbt, and with *values*."""
    steered = ("DBT_", "BIGQUERY_", "GOOGLE_", "COSMOS_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steered)}
    return {**kept, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_USE_COLORS": "false", **values}


async def run(command: Sequence[Any], *, env: Mapping[str, str], cwd: Path) -> Ended:
    """Run a program to its end; its input stays open meanwhile, as the recorder follows it."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env=dict(env),
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = (await process.stdout.read()).decode()
    return Ended(await process.wait(), output)


def dbt_python(version: str) -> Path:
    """Return the interpreter of one of the checkout's dbt environments."""
    return forked_dbt(version).with_name("python")


def arguments(folder: Path, *more: str, project: Path = PROJECT) -> list[str]:
    """Return dbt's arguments for building *project* with its artifacts in *folder*."""
    places = ["--project-dir", project, "--profiles-dir", project, "--target-path", folder / "target"]
    return ["build", *more, *map(str, places), "--log-path", str(folder / "logs")]


async def record(
    google: FakeGoogle,
    version: str,
    folder: Path,
    *more: str,
    project: Path = PROJECT,
    recorder: Sequence[Any] = RECORDER,
    **variables: str,
) -> Recorded:
    """Record `dbt build`; *variables* are those of the project's profile."""
    key_file = folder / "key.json"
    key_file.write_text(json.dumps(google.key_file))
    env = clean_environment(
        WRITES_KEY_FILE=str(key_file),
        BIGQUERY_EMULATOR_HOST=NOWHERE,
        COSMOS_ASYNC_BIGQUERY_ENDPOINT=google.bigquery_endpoint,
        **variables,
    )
    out = folder / "recording" / "recording.json"
    out.parent.mkdir()
    before, seen = google.catalog.tables(), len(google.requests)
    ended = await run(
        [dbt_python(version), *recorder, "--out", out, "--", *arguments(folder, *more, project=project)],
        env=env,
        cwd=folder,
    )
    assert ended.exit_code == 0, ended.output
    recording = json.loads(out.read_text())
    return Recorded(
        ended=ended,
        recording=recording,
        plan=make_plan(
            recording,
            dag_id="d",
            run_id="r",
            created_at="2026-01-01T00:00:00+00:00",
            host="h",
            uploads=out.parent / "uploads",
        ),
        requests=list(google.requests)[seen:],
        mutations=list(google.mutations),
        tables_before=before,
        tables_after=google.catalog.tables(),
        folder=folder,
    )


async def build(
    google: FakeGoogle, version: str, folder: Path, *more: str, project: Path = PROJECT
) -> list[Request]:
    """Build with real dbt and return what it changed."""
    seen = len(google.mutations)
    env = clean_environment(
        WRITES_KEY_FILE=str(folder / "key.json"), BIGQUERY_EMULATOR_HOST=google.bigquery_endpoint
    )
    dbt = dbt_python(version).with_name("dbt")
    await run([dbt, *arguments(folder / "real", *more, project=project)], env=env, cwd=folder)
    return google.mutations[seen:]
