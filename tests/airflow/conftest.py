"""
Where the environments are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.airflow.harness import ROOT


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    """Return the interpreter of the environment with an Airflow version; ``make test`` makes it."""

    def find(version: str) -> Path:
        python = ROOT / f".venvs/airflow-{version}/bin/python"
        assert python.exists(), f"{python} is missing: run `make test`, which makes it"
        return python

    return find
