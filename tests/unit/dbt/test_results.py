"""The artifacts of a run of dbt 1 in which all went well, made without dbt."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest

from cosmos_async.dbt.artifacts import MANIFEST_FILE, RECORDED_FILE
from cosmos_async.dbt.results import tell_results
from cosmos_async.plan.model import Index, IndexEntry, Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status

COPIED = "model.shop.copied"
AT = "2026-01-01T00:00:00+00:00"
RUN = RunInfo("d", "r", AT, "h", "shop", "dev", "the id", "1.12.6", "1.12.1", "0")


def _nobody() -> NoReturn:
    raise AssertionError("no dbt is needed")


@pytest.mark.parametrize(
    ("level", "path"),
    [(Level.STATIC, None), (Level.DBT, "target/run/shop/models/copied.sql")],
    ids=["recorded to its end", "left to real dbt on the way"],
)
def test_a_file_of_a_statement_is_told_where_dbt_writes_one(level: Level, path: str | None) -> None:
    """dbt copies a table without a statement, and setup's dbt has shown it; of what it has not seen the end, it is the rule."""
    node: dict[str, Any] = {
        "resource_type": "model",
        "package_name": "shop",
        "path": "copied.sql",
        "original_file_path": "models/copied.sql",
        "compiled_path": "target/compiled/shop/models/copied.sql",
        "build_path": None,
        "extra_ctes": [],
        "extra_ctes_injected": True,
        "depends_on": {"macros": []},
    }
    result = {"unique_id": COPIED, "status": "success", "compiled": True}
    recorded = {
        MANIFEST_FILE: {"metadata": {}, "nodes": {COPIED: node}},
        RECORDED_FILE: {"metadata": {}, "args": {}, "elapsed_time": 0.0, "results": [result]},
    }

    told = tell_results(
        Index(RUN, {COPIED: IndexEntry("copied", "model", level, "", "0")}),
        {COPIED: Outcome(COPIED, Status.SUCCESS, "OK", level, AT, AT, 1)},
        recorded={name: json.dumps(document).encode() for name, document in recorded.items()},
        compiled_code={COPIED: "select 1"},
        parsed=_nobody,
        open_dbt=_nobody,
        tell=print,
    )

    assert json.loads(told.files[MANIFEST_FILE])["nodes"][COPIED]["build_path"] == path
