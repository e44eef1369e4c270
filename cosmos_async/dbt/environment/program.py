"""
dbt 2: a program without a Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DbtProgram:
    """A dbt that is a compiled program."""

    path: Path
    version: str  #: such as ``2.0.0-alpha.4``
    product: str  #: what it calls itself, such as ``dbt-core``

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment it is run in."""
        return {name: value for name, value in env.items() if name != "RUST_BACKTRACE"}
