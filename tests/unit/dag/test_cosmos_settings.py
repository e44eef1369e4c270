"""Settings of ``[cosmos]``: each is understood, or said to have no effect with what happens instead."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from cosmos_async import settings
from cosmos_async.airflow.compat import DAG
from cosmos_async.dag.cosmos_settings import WITHOUT_EFFECT, warn_of_settings
from cosmos_async.exceptions import ConfigWarning
from tests.unit.docs.pages import DOCS

MakeDag = Callable[..., DAG]

#: What Cosmos has under another name as well.
OTHER_NAMES = {
    "enable_cache_dbt_ls": "enable_cache",
    "enable_dataset_airflow3_uri": "use_dataset_airflow3_uri_standard",
}


def said(monkeypatch: pytest.MonkeyPatch, **values: str) -> list[str]:
    """Return the warnings of a process with these settings of Cosmos'."""
    for name, value in values.items():
        monkeypatch.setenv(f"AIRFLOW__COSMOS__{name.upper()}", value)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warn_of_settings()
    assert {each.category for each in heard} <= {ConfigWarning}
    return [str(each.message) for each in heard]


def test_every_setting_of_cosmos_is_understood_or_said() -> None:
    """Those of the release that the probe has found."""
    found = json.loads((DOCS / "cosmos.json").read_text(encoding="utf-8"))["rows"]
    theirs = {row["word"] for row in found if row["group"] == "Settings"}

    assert len(theirs) > 30
    understood = {name for name in theirs if hasattr(settings, name)} | set(OTHER_NAMES)
    assert understood & set(WITHOUT_EFFECT) == set()
    assert theirs == understood | set(WITHOUT_EFFECT)


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_what_nothing_reads_is_said_with_what_happens_instead(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is the worst answer to whoever has set it."""
    harmless = WITHOUT_EFFECT[name]
    other = next(value for value in ("True", "False") if value.lower() not in harmless.as_here)

    (told,) = said(monkeypatch, **{name: other})

    assert name in told
    assert harmless.instead in told
    for value in (*harmless.as_here, " "):
        assert said(monkeypatch, **{name: value}) == []


def test_all_are_said_at_once_and_by_the_import_of_a_dag(
    make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning a process."""
    assert said(monkeypatch) == []
    (told,) = said(monkeypatch, rich_logging="True", dbt_docs_dir="gs://docs")
    assert "rich_logging" in told
    assert "dbt_docs_dir" in told
    with pytest.warns(ConfigWarning, match="section \\[cosmos\\] without effect"):
        make_dag()


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_cosmos_other_names_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ours win over them."""
    function: Any = getattr(settings, OTHER_NAMES[name])
    usual = function()
    monkeypatch.setenv(f"AIRFLOW__COSMOS__{name.upper()}", str(not usual))
    assert function() is not usual
    monkeypatch.setenv(f"AIRFLOW__COSMOS_ASYNC__{OTHER_NAMES[name].upper()}", str(usual))
    assert function() is usual
