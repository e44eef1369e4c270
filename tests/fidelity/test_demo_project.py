"""
The demo's warehouse after our runs equals the one after real ``dbt build``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.harness import ROOT

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns
    from tests.warehouse.fixture import Warehouse

SHOP = ROOT / "tests/demo/shop"


def dbt_build(warehouse: Warehouse, folder: Path, day: int) -> None:
    """Build the shop with plain dbt into the dataset ``plain``."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "GOOGLE_", "AIRFLOW"))
    }
    environment = {
        **kept,
        "BIGQUERY_EMULATOR_HOST": warehouse.endpoint,
        "SHOP_KEY_FILE": str(warehouse.key_file),
        "SHOP_PROJECT": warehouse.project,
        "SHOP_DATASET": "plain",
    }
    words = [
        ROOT / ".venvs/dbt-1.12/bin/dbt",
        "--no-send-anonymous-usage-stats",
        "build",
        "--vars",
        f"{{day: {day}}}",
    ]
    words += ["--project-dir", SHOP, "--profiles-dir", SHOP, "--target-path", folder / "target"]
    words += ["--log-path", folder / "logs"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.airflow
@pytest.mark.warehouse
@pytest.mark.dbt
def test_the_shop_s_warehouse_is_what_dbt_build_makes(shop_33: ShopRuns, tmp_path: Path) -> None:
    """Two days through Airflow and two days of dbt build leave the same relations, columns, options and rows."""
    warehouse = shop_33.stage.warehouse
    for day in (1, 2):
        dbt_build(warehouse, tmp_path, day)

    ours, theirs = warehouse.dump_all("shop"), warehouse.dump_all("plain")

    assert set(ours) == set(theirs)
    # The comparison reaches down to what persist_docs writes.
    assert "Given by the till, never reused." in str(theirs)
    for name, relation in theirs.items():
        assert ours[name] == relation, name
