"""``cosmos-async plan`` at a terminal: a real dbt, the stand-in, and no Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import PROJECT, clean_environment, dbt_python
from tests.dbt_versions import NEWEST
from tests.served import served_google

pytestmark = pytest.mark.dbt

Command = Callable[..., "subprocess.CompletedProcess[str]"]

PLACES = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A stand-in with the project's source."""
    with served_google("writes-project") as fake:
        fake.add_table("writes-project", "raw", "events", schema=[{"name": "kind", "type": "STRING"}])
        yield fake


@pytest.fixture
def command(google: FakeGoogle, tmp_path: Path) -> Command:
    """Run `cosmos-async` with dbt 1.11."""
    (tmp_path / "key.json").write_text(json.dumps(google.key_file))
    env = clean_environment(
        WRITES_KEY_FILE=str(tmp_path / "key.json"),
        BIGQUERY_EMULATOR_HOST=google.bigquery_endpoint,
        AIRFLOW__COSMOS_ASYNC__CACHE_DIR=str(tmp_path / "cache"),
    )

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        words = [
            sys.executable,
            "-m",
            "cosmos_async",
            "plan",
            "--dbt",
            str(dbt_python(NEWEST)),
            *PLACES,
            *arguments,
        ]
        return subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_a_plan_is_printed_and_nothing_is_changed(command: Command, google: FakeGoogle) -> None:
    """One node with its SQL as dbt would send it, in the words that dbt's own options chose."""
    shown = command("--select", "as_view", "--node", "as_view", "--", "--empty")

    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert lines[0] == "S  model.writes.as_view  view  writes-project.shop.as_view  models/as_view.sql"
    assert "guard   writes-project.shop.as_view is absent" in lines
    assert "create or replace view `writes-project`.`shop`.`as_view`" in lines
    assert "where false limit 0" in shown.stdout  # --empty reached dbt
    assert google.mutations == []


def test_the_json_can_be_read_and_holds_every_selected_node(command: Command) -> None:
    """A node that real dbt has to run is there, with the reason."""
    printed = command("--select", "as_view", "broken", "--json")

    assert printed.returncode == 0, printed.stderr
    nodes = {node["name"]: node for node in json.loads(printed.stdout)["nodes"]}
    assert set(nodes) == {"as_view", "broken"}
    assert nodes["as_view"]["level"] == "S"
    assert nodes["broken"]["level"] == "D"
    assert "this model cannot be compiled" in nodes["broken"]["reason"]


def test_nothing_planned_is_a_failure(command: Command) -> None:
    """A script can tell by the exit code; a person by the words."""
    alone = command("--select", "broken")
    nobody = command("--select", "nobody")

    assert (alone.returncode, nobody.returncode) == (1, 1)
    assert "this model cannot be compiled" in alone.stdout
    assert "no node could be planned" in alone.stderr
    assert "nothing" in nobody.stderr


def test_dbt_says_in_its_own_words_what_is_wrong(command: Command) -> None:
    """As `dbt build` would."""
    refused = command("--selector", "nightly")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "Could not find selector named nightly" in refused.stderr


def test_a_reader_who_has_seen_enough_is_no_error(
    command: Command, google: FakeGoogle, tmp_path: Path
) -> None:
    """`cosmos-async plan | head -1`."""
    words = [
        sys.executable,
        "-m",
        "cosmos_async",
        "plan",
        "--dbt",
        str(dbt_python(NEWEST)),
        *PLACES,
        "--select",
        "as_view",
    ]
    env = clean_environment(
        WRITES_KEY_FILE=str(tmp_path / "key.json"),
        BIGQUERY_EMULATOR_HOST=google.bigquery_endpoint,
        AIRFLOW__COSMOS_ASYNC__CACHE_DIR=str(tmp_path / "cache"),
    )
    with subprocess.Popen(
        words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (0, b"")
