"""
Materialized views that exist: refreshed, altered, replaced or left, as their configuration says.

The semantic bench has no `ALTER MATERIALIZED VIEW`, so what is written is compared on the stand-in without SQL.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.plan.model import CallOperation, Guard, GuardKind, JobOperation, Level
from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import Recorded, build, record
from tests.dbt.test_recorder import built, plan_of, writes
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

COLUMNS = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]
VIEW: dict[str, Any] = {
    "type": "MATERIALIZED_VIEW",
    "materializedView": {"enableRefresh": True, "refreshIntervalMs": "1800000"},
}
CONFIGS = {
    "refreshed": "",
    "altered": "refresh_interval_minutes=60",
    "replaced": "cluster_by='id'",
    "left_alone": "refresh_interval_minutes=60, on_configuration_change='continue'",
    "refused": "refresh_interval_minutes=60, on_configuration_change='fail'",
    "new": "",
    "was_table": "",
}


@pytest.fixture(scope="module", params=[NEWEST, "1.9"])
def recorded(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The project recorded, then built by real dbt, on the same stand-in."""
    folder = tmp_path_factory.mktemp("views")
    project = folder / "writes"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text('name: writes\nversion: "1.0"\nprofile: writes\n')
    (project / "profiles.yml").write_text(
        (Path(__file__).parents[2] / "projects" / "writes" / "profiles.yml").read_text()
    )
    for name, config in CONFIGS.items():
        head = f"{{{{ config(materialized='materialized_view'{', ' + config if config else ''}) }}}}"
        (project / "models" / f"{name}.sql").write_text(
            textwrap.dedent(f"{head}\nselect id from `writes-project`.`raw`.`events`")
        )

    async def both() -> Recorded:
        async with FakeGoogle(project_id="writes-project") as google:
            google.add_table("writes-project", "raw", "events", schema=COLUMNS)
            for name in CONFIGS:
                if name not in ("new", "was_table"):
                    google.add_table("writes-project", "shop", name, schema=COLUMNS, **VIEW)
            google.add_table("writes-project", "shop", "was_table", schema=COLUMNS)
            google.on_query("", schema=COLUMNS)
            result = await record(google, request.param, folder, project=project)
            result.built = await build(google, request.param, folder, project=project)
            return result

    return asyncio.run(both())


def test_the_plan_is_what_real_dbt_sends(recorded: Recorded) -> None:
    """For every configuration but the one that dbt refuses."""
    plans = [plan for plan in recorded.plan.nodes.values() if plan.level is not Level.DBT]

    different = {
        plan.name: (writes(plan), built(recorded.built, plan))
        for plan in plans
        if writes(plan) != built(recorded.built, plan)
    }

    assert different == {}
    assert {plan.name for plan in plans} == set(CONFIGS) - {"refused"}


def test_a_change_of_the_settings_decides(recorded: Recorded) -> None:
    """dbt compares them at that moment, and so does the plan."""
    begun = {
        plan.name: " ".join(words.lower().split()[:2])
        for plan in recorded.plan.nodes.values()
        for words in [_sql(plan)]
        if words
    }

    assert begun["refreshed"] == "call bq.refresh_materialized_view('writes-project.shop.refreshed')"
    assert begun["altered"] == "alter materialized"
    assert "left_alone" not in begun
    guards = [step for step in plan_of(recorded, "altered").steps if isinstance(step, Guard)]
    assert [guard.kind for guard in guards] == [*[GuardKind.TARGET_STATE] * 3, GuardKind.SETTINGS]
    assert guards[-1].expected["refresh_interval"] == "1800000"
    assert "on_configuration_change` was set to `fail" in plan_of(recorded, "refused").reason


def test_what_is_left_alone_is_told_as_dbt_tells_it(recorded: Recorded) -> None:
    """There is no job, but there is a response."""
    plan = plan_of(recorded, "left_alone")

    assert [type(step) for step in plan.steps if not isinstance(step, Guard)] == [CallOperation] * 2
    assert plan.message == "skip `writes-project`.`shop`.`left_alone`"
    assert plan.response is not None
    assert plan.response["code"] == "skip"


def _sql(plan: Any) -> str:
    main = [step for step in plan.steps if isinstance(step, JobOperation) and step.main]
    text = main[0].configuration["query"]["query"].split("*/", 1)[-1] if main else ""
    return re.sub("--.*", "", text).strip()
