"""
What holds for all unit tests, on whatever machine and Python they run; a small project, its manifest, a cache of their own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from tests.dbt_versions import NEWEST
from tests.forked_dbt import forked_dbt

HERE = Path(__file__).parent
SHOP = HERE / "shop"


# A busy machine is slow; that says nothing of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what the last pytest-asyncio for Python 3.9 leaves behind where a test calls ``asyncio.run``: an open loop."""
    if sys.version_info < (3, 10):  # removable when Python 3.9 is dropped
        for left in (
            "unclosed event loop",
            r"unclosed <socket\.socket fd=\d+, family=AddressFamily\.AF_UNIX",
        ):
            config.addinivalue_line("filterwarnings", f"ignore:{left}:ResourceWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and none of the settings of the person who runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith(("AIRFLOW__COSMOS__", "AIRFLOW__COSMOS_ASYNC__", "DBT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cosmos_async"


@pytest.fixture
def shop() -> Path:
    """The project's folder; nobody may write there."""
    return SHOP


@pytest.fixture
def manifest_path() -> Path:
    """What ``dbt parse`` makes of the project, without what a DAG does not need."""
    return HERE / "shop_manifest.json"


@pytest.fixture
def manifest(manifest_path: Path) -> dict[str, Any]:
    """The same, read."""
    document: dict[str, Any] = json.loads(manifest_path.read_text())
    return document


@pytest.fixture
def profile() -> ProfileConfig:
    """A mapped connection; nothing here may read it."""
    mapping = GoogleCloudServiceAccountDictProfileMapping(
        conn_id="gcp_conn", profile_args={"dataset": "shop", "project": "shop-project"}
    )
    return ProfileConfig("corner_shop", "dev", profile_mapping=mapping)


@pytest.fixture
def dbt() -> Path:
    """A real dbt, in an environment of its own."""
    return forked_dbt(NEWEST)


@pytest.fixture
def make_dag(shop: Path, manifest_path: Path, profile: ProfileConfig) -> Callable[..., DAG]:
    """Make a DAG of the project, from its manifest."""
    from cosmos_async.dag.dbt_dag import DbtDag

    def make(render: RenderConfig | None = None, **kwargs: Any) -> DAG:
        kwargs.setdefault("project_config", ProjectConfig(shop, manifest_path=manifest_path))
        kwargs.setdefault("profile_config", profile)
        kwargs.setdefault("execution_config", ExecutionConfig())
        return DbtDag(
            dag_id=kwargs.pop("dag_id", "shop"),
            schedule=None,
            start_date=datetime(2026, 1, 1),
            render_config=render or RenderConfig(),
            **kwargs,
        )

    return make
