"""
Every name and module that can be imported from Cosmos: is it here, or how is it refused?
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.probe.judge import BADLY, CLEARLY, DIFFERS, MISSING, SAME, Row

#: The modules whose names DAG files import, as in Cosmos' documentation and examples.
PUBLIC = (
    "airflow.dag",
    "airflow.task_group",
    "config",
    "constants",
    "dbt.graph",
    "exceptions",
    "io",
    "operators",
    "operators.local",
    "operators.virtualenv",
    "profiles",
    "profiles.base",
    "profiles.bigquery",
    "settings",
)


def rows() -> Iterator[Row]:
    """Yield a row for each name and module."""
    import cosmos

    for name in cosmos.__all__:
        yield _row("Names of the package", name)
    refused = "-"
    for module in sorted(
        each.name[len("cosmos.") :] for each in pkgutil.walk_packages(cosmos.__path__, "cosmos.")
    ):
        if not module.startswith(f"{refused}."):  # what is in a package is refused with it
            row = _row("Modules", module)
            refused = module if row.verdict == CLEARLY else refused
            yield row
    for place in PUBLIC:
        for name in sorted(_own(importlib.import_module(f"cosmos.{place}"))):
            yield _row(f"Names of {place}", name)


def _own(module: ModuleType) -> set[str]:
    if hasattr(module, "__all__"):
        return set(module.__all__)
    plain = (str, int, float, set, frozenset, dict, list, Path, type(None))
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and (
            getattr(value, "__module__", None) == module.__name__
            or (module.__name__ in ("cosmos.constants", "cosmos.settings") and isinstance(value, plain))
        )
        and (module.__name__ != "cosmos.settings" or name.islower())  # what it imports from constants
    }


def statement(group: str, name: str) -> str:
    """Return the import of a name or module from this package, by the group of its row."""
    if group == "Modules":
        return f"import cosmos_async.{name}"
    place = group.removeprefix("Names of ").replace("the package", "")
    return f"from {'.'.join(filter(None, ('cosmos_async', place)))} import {name}"


def _row(group: str, name: str) -> Row:
    return Row(group, name, "", *asked(statement(group, name)))


def asked(statement: str) -> tuple[str, str]:
    """Return the verdict on an import statement."""
    names: dict[str, Any] = {}
    try:
        exec(statement, names)
    except ModuleNotFoundError as error:
        return MISSING, str(error)
    except ImportError as error:
        text = str(error)
        if " because " in text:
            return CLEARLY, text
        return (MISSING if text.startswith("cannot import name") else BADLY), text.split(" (")[0]
    except Exception as error:  # nothing else is right for an import
        return BADLY, f"{type(error).__name__}: {error}"
    if "cosmos_async.settings import" in statement and callable(names[statement.split()[-1]]):
        return DIFFERS, "a function here, which looks the setting up when it is called"
    return SAME, ""
