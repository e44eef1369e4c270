"""
Real dbt builds the rarer kinds of models twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dbt_versions import NEWEST
from tests.warehouse.child import ROOT
from tests.warehouse.dbt import dbt
from tests.warehouse.fixture import Warehouse

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]

PANTRY = ROOT / "tests" / "projects" / "pantry"


def test_the_rarer_kinds_are_built_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    """Partitions of every sort, copies, microbatches, contracts, grants, materialized views, changing columns."""
    options: dict[str, Any] = {
        "version": NEWEST,
        "dataset": "pantry",
        "artifacts": tmp_path,
        "project": PANTRY,
    }

    first = dbt(warehouse, "build", **options)
    created = warehouse.table("pantry", "copied")["creationTime"]
    second = dbt(warehouse, "build", "--vars", "{day: 2}", **options)

    assert set(first.states.values()) == {"success"}, first.output
    assert set(second.states.values()) == {"success"}, second.output
    pantry = warehouse.dump("pantry")
    limits = {"start": "0", "end": "100", "interval": "10"}
    assert pantry["ranged"]["partitioning"] == {"field": "id", "range": limits}
    assert pantry["hourly"]["partitioning"] == {"type": "HOUR", "field": "at"}
    assert pantry["materialized"]["type"] == "MATERIALIZED_VIEW"
    assert pantry["contracted"]["columns"][0]["mode"] == "REQUIRED"
    assert [(row["id"], row["built"]) for row in pantry["copied"]["rows"]] == [
        ("1", "1"), ("2", "1"), ("3", "1"), ("4", "2"), ("5", "2"), ("6", "2"), ("7", "2"),
    ]  # fmt: skip
    assert warehouse.table("pantry", "copied")["creationTime"] == created
    assert [each["name"] for each in pantry["synced"]["columns"]] == ["id", "name", "came"]
    assert len(pantry["micro"]["rows"]) == 3
    grants = "`region-us`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES where object_name = 'granted'"
    assert warehouse.query(f"select grantee from {grants}") == [{"grantee": "user:one@example.com"}]
