"""
The bench for dbt 2, started once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.warehouse.dbt2 import Bench, missing, running_bench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be run, and say what is missing."""
    why = missing()
    if why:
        for item in items:
            if "tests/dbt2/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A warehouse that dbt 2 can reach; tests use datasets of their own."""
    with running_bench(tmp_path_factory.mktemp("bench")) as running:
        yield running
