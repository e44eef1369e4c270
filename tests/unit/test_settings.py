"""What Airflow's configuration says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from cosmos_async import settings
from cosmos_async.exceptions import ConfigError


def test_our_section_wins_over_cosmos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosmos' settings are honoured, so that moving over needs none; ours are for those who keep both."""
    assert settings.remote_target_path() is None

    monkeypatch.setenv("AIRFLOW__COSMOS__REMOTE_TARGET_PATH", "gs://theirs/")
    assert settings.remote_target_path() == "gs://theirs"
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH", "gs://ours")
    assert settings.remote_target_path() == "gs://ours"


def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm charts like to write them."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH_CONN_ID", "")

    assert settings.remote_target_path_conn_id() is None


def test_endpoints_are_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosmos knows none."""
    monkeypatch.setenv("AIRFLOW__COSMOS__BIGQUERY_ENDPOINT", "http://theirs")
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", "http://127.0.0.1:9050/")

    assert settings.bigquery_endpoint() is None
    assert settings.storage_endpoint() == "http://127.0.0.1:9050"


@pytest.mark.parametrize("value", ["127.0.0.1:9050", "http://host/bigquery/v2", "ftp://host", "http://"])
def test_an_endpoint_is_a_scheme_and_a_host(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Clients add the path, each its own."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", value)

    with pytest.raises(ConfigError, match=r"bigquery_endpoint is .* without a path"):
        settings.bigquery_endpoint()


def test_a_switch_is_true_or_false(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is an error that names it, not a guess."""
    assert settings.enable_cache()
    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_CACHE", "False")
    assert not settings.enable_cache()
    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_CACHE", "perhaps")
    with pytest.raises(ConfigError, match="enable_cache is 'perhaps'"):
        settings.enable_cache()


def test_the_cache_has_a_place_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below the system's temporary folder one per user; below a configured one beside Cosmos' own."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__CACHE_DIR", str(tmp_path))
    assert settings.cache_dir() == tmp_path / "cosmos_async"

    monkeypatch.delenv("AIRFLOW__COSMOS_ASYNC__CACHE_DIR")
    assert settings.cache_dir() == Path(tempfile.gettempdir()) / f"cosmos_async-{os.getuid()}"
