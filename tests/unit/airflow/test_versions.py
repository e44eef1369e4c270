"""
Every module can be imported on the Airflow at hand, and the docs say of each Airflow what the code goes by.

`make matrix` runs this on all of them.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import cosmos_async
from cosmos_async.airflow import compat
from cosmos_async.airflow.versions import abilities

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(cosmos_async.__file__).parent
#: Lives in dbt's own interpreter.
DBTS = "cosmos_async.dbt.scripts.recorder."


def modules() -> list[str]:
    """Return the names of all modules but those that are programs."""
    found = (module.name for module in pkgutil.walk_packages(cosmos_async.__path__, "cosmos_async."))
    return [name for name in found if not name.endswith("__main__") and not name.startswith(DBTS)]


@pytest.mark.parametrize("name", modules())
def test_a_module_can_be_imported(name: str) -> None:
    """Airflow moved what we need more than once, and the oldest supported Python lacks much."""
    module = importlib.import_module(name)

    assert module.__name__ == name
    assert [each for each in getattr(module, "__all__", ()) if not hasattr(module, each)] == []


def test_the_rooms_are_all_looked_at() -> None:
    """The triggers are reached through a link, which a search might not follow."""
    assert {
        "cosmos_async.airflow.compat",
        "cosmos_async.operators.node",
        "cosmos_async.triggers.execution.node",
    } <= set(modules())


def test_the_sources_are_python_39() -> None:
    """The recorder's included, which an old dbt's interpreter runs."""
    for file in (*PACKAGE.rglob("*.py"), *(PACKAGE / "triggers").rglob("*.py")):  # a link, not followed
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


def table() -> dict[str, list[str]]:
    """Return the rows of the table in docs/versions.md, by version."""
    lines = (ROOT / "docs/versions.md").read_text(encoding="utf-8").splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|"))
    can = len(abilities((2, 8)))  # another table says what can be seen in the UI
    return {row[0]: row[1:] for row in cells if len(row) == can + 1 and set(row[1:]) <= {"yes", "no"}}


def test_the_table_of_versions_says_what_the_code_goes_by() -> None:
    """Every supported Airflow has a row, in order, and nothing is promised that the code does not count on."""
    known = [(2, 8), (2, 9), (2, 10), (2, 11), (3, 0), (3, 1), (3, 2), (3, 3)]

    assert table() == {
        f"{major}.{minor}": ["yes" if can else "no" for can in abilities((major, minor))]
        for major, minor in known
    }


def test_the_table_has_a_row_for_the_airflow_at_hand() -> None:
    """And what the package goes by here is that row."""
    goes_by = [
        compat.STARTS_IN_TRIGGERER,
        compat.ENDS_IN_TRIGGERER,
        compat.FAILS_IN_TRIGGERER,
        compat.HAS_ON_KILL,
        compat.RETURNS_AT_ONCE,
    ]
    row = table()[".".join(map(str, compat.AIRFLOW_VERSION))]

    # What clearing does, no code goes by.
    assert row[:4] + row[5:] == ["yes" if can else "no" for can in goes_by]
