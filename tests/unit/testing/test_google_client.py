"""Google's own client, in dbt's interpreter, finds nothing unusual."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest

from cosmos_async.testing import FakeGoogle

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venvs" / "dbt-1.12" / "bin" / "python"


@pytest.mark.dbt
async def test_googles_own_client_gets_the_answers_it_is_made_for(google: FakeGoogle, tmp_path: Path) -> None:
    users = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    google.on_query("from users", rows=users)
    google.on_query(
        "select moment", rows=[{"t": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)}]
    )
    google.on_query("broken", error=("invalidQuery", "Unrecognized name: amout at [7:9]"))
    google.on_query("held", held=True)
    key_file = tmp_path / "key.json"
    key_file.write_text(json.dumps(google.key_file))
    script = Path(__file__).with_name("google_client.py")

    process = await asyncio.create_subprocess_exec(
        str(PYTHON), str(script), google.bigquery_endpoint, str(key_file), stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    output, _ = await process.communicate()

    assert process.returncode == 0
    assert json.loads(output) == {
        "dataset_twice": "duplicate",
        "ctas": ["CREATE_TABLE_AS_SELECT", "p.marts.t", 0],
        "job_twice": "Already Exists: Job p:US.made",
        "rows": [[1, "a"], [2, "b"]],
        "moment": ["2026-01-02 03:04:05.000006+00:00"],
        "short_way": [[1, "a"], [2, "b"]],
        "dry_run": ["id", "name"],
        "broken": [{"reason": "invalidQuery", "message": "Unrecognized name: amout at [7:9]"}],
        "loaded": [2, 2],
        "copied": [[1, "x"], [2, "y"]],
        "described": "new",
        "tables": ["copied", "seed", "t"],
        "missing": "notFound",
        "cancelled": "stopped",
    }
    assert google.requests.of("unknown") == []
