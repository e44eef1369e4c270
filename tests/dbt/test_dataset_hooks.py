"""
A hook that makes a dataset where it is missing, as packages do when a run starts: dbt asks for it, and so may setup.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.plan.model import JobOperation, Step
from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import Recorded, profile_of, record
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

PROFILE = profile_of("hooked", "hooked-project")
CONFIG = """
name: hooked
version: "1.0.0"
profile: hooked
on-run-start: ["{{ make('elsewhere') }}", "{{ make(target.schema) }}"]
"""
MACRO = """
{% macro make(schema) %}
  {% if execute and not adapter.check_schema_exists(target.database, schema) %}
    create schema {{ schema }}
  {% endif %}
{% endmacro %}
"""


async def recorded(
    folder: Path, version: str, *datasets: str, config: str = CONFIG, macro: str = MACRO
) -> Recorded:
    """Record the project on a warehouse that has *datasets*."""
    project = folder / "project"
    for name, text in {
        "dbt_project.yml": config,
        "profiles.yml": PROFILE,
        "macros/make.sql": macro,
        "models/one.sql": "select 1 as id",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    async with FakeGoogle(project_id="hooked-project") as google:
        for dataset in datasets:
            google.add_dataset("hooked-project", dataset)
        google.on_query("from shop.nowhere", error=("notFound", "Not found: Table shop.nowhere"))
        return await record(google, version, folder, project=project)


def sql(steps: tuple[Step, ...]) -> list[str]:
    """Return the statements of the operations, without dbt's comment."""
    return [
        step.configuration["query"]["query"].partition("*/")[2].strip()
        for step in steps
        if isinstance(step, JobOperation)
    ]


@pytest.mark.parametrize("version", ["1.9", NEWEST])
async def test_a_hook_may_ask_whether_a_dataset_is_there(tmp_path: Path, version: str) -> None:
    """The one that is missing is made; the run's own is made by dbt before its hooks, so the hook finds it."""
    found = await recorded(tmp_path, version)

    assert sql(found.plan.prelude) == [
        "create schema if not exists `hooked-project`.`shop`",
        "create schema elsewhere",
    ]


async def test_a_hook_leaves_a_dataset_that_is_there_alone(tmp_path: Path) -> None:
    """Nothing is planned for it."""
    found = await recorded(tmp_path, NEWEST, "elsewhere", "shop")

    assert sql(found.plan.prelude) == []


async def test_a_hook_that_asks_for_what_is_not_there_is_refused_in_dbts_words(tmp_path: Path) -> None:
    """Nothing was written before it, so real dbt meets the same."""
    asking = "{% macro ask() %}{% do run_query('select id from shop.nowhere') %}{% endmacro %}"
    config = CONFIG.replace("make('elsewhere')", "ask()")

    with pytest.raises(AssertionError, match="Encountered an error") as failed:
        await recorded(tmp_path, NEWEST, "elsewhere", "shop", config=config, macro=MACRO + asking)

    assert "Database Error" in str(failed.value)
    assert "Not found: Table shop.nowhere" in str(failed.value)
