"""
Every module can be imported on the Airflow at hand, and by Python 3.9; `make matrix` runs this on all of them.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import cosmos_async

PACKAGE = Path(cosmos_async.__file__).parent
#: Lives in dbt's own interpreter.
DBTS = "cosmos_async.dbt.recorder."


def modules() -> list[str]:
    """Return the names of all modules but those that are programs."""
    found = (module.name for module in pkgutil.walk_packages(cosmos_async.__path__, "cosmos_async."))
    return [name for name in found if not name.endswith("__main__") and not name.startswith(DBTS)]


@pytest.mark.parametrize("name", modules())
def test_a_module_can_be_imported(name: str) -> None:
    """Airflow moved what we need more than once, and the oldest supported Python lacks much."""
    assert importlib.import_module(name).__name__ == name


def test_the_rooms_are_all_looked_at() -> None:
    """The triggers are reached through a link, which a search might not follow."""
    assert {"cosmos_async.compat", "cosmos_async.operators.node", "cosmos_async.triggers.node"} <= set(
        modules()
    )


def test_the_sources_are_python_39() -> None:
    """The recorder's included, which an old dbt's interpreter runs."""
    for file in PACKAGE.rglob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))
