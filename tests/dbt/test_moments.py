"""
What another run has differently is noticed, whichever way a template takes to it; all else of a plan is the same each time.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.planner.keep import each_run, why_not_kept
from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import RECORDER, Recorded, dbt_python, profile_of, record
from tests.dbt_versions import HAS_1_12, NEWEST

pytestmark = pytest.mark.dbt

NEWER = Path(__file__).with_name("newer.py")
PROFILE = profile_of("moments", "moments-project", threads=4)
#: Models that use what another run has differently, and the word by which a person is told.
USING = {
    "started": ("select '{{ run_started_at }}' as at", "run_started_at"),
    "invoked": ("select '{{ invocation_id }}' as id", "invocation_id"),
    "asked": ("select {{ invocation_args_dict | length }} as n", "invocation_args_dict"),
    "threaded": ("select '{{ thread_id }}' as thread", "thread_id"),
    "now": ("select '{{ modules.datetime.datetime.now() }}' as at", "the clock"),
    "utcnow": ("select '{{ modules['datetime']['datetime']['utcnow']() }}' as at", "the clock"),
    "today": ("select '{{ modules.datetime.date.today() }}' as day", "the clock"),
    "by_filter": ("select '{{ (modules.datetime.date | attr('today'))() }}' as day", "the clock"),
    "of_instance": ("select '{{ modules.datetime.datetime(2020, 1, 1).now() }}' as at", "the clock"),
    "of_items": ("select {{ context | items | list | length }} as n", "all of dbt's context"),
    "expiring": (
        "{{ config(materialized='materialized_view', hours_to_expiration=12) }} select 1 as n",
        "the clock (hours_to_expiration",
    ),
    "drawn": ("select {{ [1, 2, 3] | random }} as n", "chance"),
    "of_context": ("select '{{ context['run_started_at'] }}' as at", "run_started_at"),
    "of_all_context": ("select '{{ context.get('invocation_id') }}' as id", "all of dbt's context"),
    "of_builtins": ("select '{{ builtins.run_started_at }}' as at", "run_started_at"),
    "of_graph": ("select {{ graph.nodes | length }} as n", "graph"),
    "uploading": (
        "{% if execute %}{% do adapter.upload_file('rates.csv', target.project, 'shop', 'rates',"
        " kwargs={'write_disposition': 'WRITE_TRUNCATE'}) %}{% endif %}select 1 as id",
        "a file (adapter.upload_file)",
    ),
    "in_macro": ("select '{{ stamp() }}' as at", "run_started_at"),
    "in_hook": (
        "{{ config(post_hook=\"insert into {{ this }} select '{{ run_started_at }}'\") }} select 1 as at",
        "run_started_at",
    ),
    "reads_ephemeral": ("select * from {{ ref('between') }}", "invocation_id"),
    "many_batches": (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', batch_size='day',"
        " begin='2026-01-01', partition_by={'field': 'at', 'data_type': 'timestamp'}) }}"
        " select current_timestamp() as at",
        "batches",
    ),
}
#: Models that look alike and are the same each time.
SAME = {
    "plain": "select current_timestamp() as at",
    "computed": "select '{{ modules.datetime.date(2026, 1, 1) + modules.datetime.timedelta(days=1) }}' as day",
    "parsed": "select '{{ modules.datetime.datetime.strptime('2026', '%Y') }}' as year",
    "variables": "select '{{ var('day', 1) }}' as day, '{{ env_var('MOMENTS_NAME', 'nobody') }}' as name",
    "of_macro": "select '{{ context['dbt_version'] }}' as version",
    "own_list": "{% set found = var('nothing', []) %}{% do found.append(1) %}select {{ found | length }} as n",
    "of_config": "select '{{ config.get('materialized') }}' as kind, '{{ model.name }}' as name",
    "grown": "{{ config(materialized='incremental', unique_key='id') }} select 1 as id",
    "expiring_table": "{{ config(materialized='table', hours_to_expiration=12) }} select 1 as n",
    "replaced": "{{ config(materialized='table') }} select 1 as id",
}
FILES = {
    "dbt_project.yml": 'name: moments\nversion: "1.0"\nprofile: moments\n',
    "profiles.yml": PROFILE,
    "rates.csv": "id\n1\n",
    "macros/stamp.sql": "{% macro stamp() %}{{ run_started_at.strftime('%Y') }}{% endmacro %}",
    "models/between.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('below') }}",
    "models/below.sql": "{{ config(materialized='ephemeral') }} select '{{ invocation_id }}' as id",
    "snapshots/kept.sql": """
        {% snapshot kept %}{{ config(unique_key="id", strategy="check", check_cols="all", target_schema="shop") }}
        select 1 as id{% endsnapshot %}
        """,
    "models/schema.yml": """
        models:
          - {name: replaced, columns: [{name: id, data_tests: [unique]}]}
          - {name: started, columns: [{name: at, data_tests: [not_null]}]}
        unit_tests:
          - {name: one, model: grown, given: [], expect: {rows: [{id: 1}]}}
          - {name: two, model: grown, given: [], expect: {rows: [{id: 2}]}}
        """,
    **{f"models/{name}.sql": text for name, (text, _) in USING.items()},
    **{f"models/{name}.sql": text for name, text in SAME.items()},
}
ID = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]


async def recorded_in(
    folder: Path,
    version: str,
    *more: str,
    files: dict[str, str] | None = None,
    recorder: Sequence[Any] = RECORDER,
    **env: str,
) -> Recorded:
    """Record the project on what an earlier run has left."""
    project = folder / "project"
    for name, text in {**FILES, **(files or {})}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    async with FakeGoogle(project_id="moments-project") as google:
        google.add_dataset("moments-project", "shop")
        snapshot = [
            *ID,
            *(
                {"name": f"dbt_{name}", "type": "TIMESTAMP"}
                for name in ("updated_at", "valid_from", "valid_to")
            ),
        ]
        google.add_table("moments-project", "shop", "grown", schema=ID)
        google.add_table(
            "moments-project", "shop", "kept", schema=[*snapshot, {"name": "dbt_scd_id", "type": "STRING"}]
        )
        google.on_query("", schema=ID)
        return await record(google, version, folder, *more, project=project, recorder=recorder, **env)


@pytest.fixture(scope="module", params=[NEWEST, pytest.param("1.9", marks=pytest.mark.slow)])
def version(request: Any) -> str:
    """Each generation of dbt."""
    return str(request.param)


@pytest.fixture(scope="module")
def recorded(version: str, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """One recording."""
    return asyncio.run(recorded_in(tmp_path_factory.mktemp("recorded"), version, MOMENTS_NAME="somebody"))


def used(recorded: Recorded) -> dict[str, str]:
    """Return what each node uses, by its name."""
    known = {**recorded.recording["ephemerals"], **recorded.recording["nodes"]}
    uses = each_run(recorded.recording)
    return {known[unique_id]["name"]: what for unique_id, what in uses.items()}


@pytest.mark.parametrize("name", USING)
def test_what_differs_from_run_to_run_is_noticed(recorded: Recorded, name: str) -> None:
    """By name, as an attribute, through a filter, in a macro, in a hook, in an ephemeral model below."""
    assert USING[name][1] in used(recorded)[name]


def test_all_else_is_the_same_each_time(recorded: Recorded) -> None:
    """A macro that could be used, arithmetic with dates, dbt's own names of temporary tables."""
    assert set(used(recorded)) == {*USING, "between", "below"}


def test_the_environment_variables_that_are_asked_for_are_known(recorded: Recorded) -> None:
    """Set or not, while the project is parsed and while it is compiled."""
    assert {"MOMENTS_NAME", "WRITES_KEY_FILE"} <= set(recorded.recording["environment"])


def test_temporary_names_are_known(recorded: Recorded, version: str) -> None:
    """dbt-bigquery makes them of the time of day since 1.10."""
    nodes = recorded.recording["nodes"]
    named = {
        nodes[unique_id]["name"] for unique_id in recorded.recording["temporaries"] if unique_id in nodes
    }

    of_dbt = {"grown", "kept", "many_batches", "one", "two"}
    assert named == (set() if version == "1.9" else of_dbt)


def test_another_recording_gives_the_same_plans(recorded: Recorded, version: str, tmp_path: Path) -> None:
    """Of all nodes that use nothing of that kind: on another day, in another process, in another order of threads."""
    again = asyncio.run(recorded_in(tmp_path, version, MOMENTS_NAME="somebody"))

    one, other = plain_plans(recorded), plain_plans(again)
    assert one == other
    assert set(SAME) <= set(one)


def plain_plans(recorded: Recorded) -> dict[str, str]:
    """Return the plans of nodes that use nothing of the moment, without what each run makes new."""
    found = {}
    uses = each_run(recorded.recording)
    for unique_id, plan in recorded.plan.nodes.items():
        if unique_id in uses:
            continue
        text = str(plan).replace(recorded.recording["invocation_id"], "<invocation>")
        for at, name in enumerate(recorded.recording["temporaries"].get(unique_id, ())):
            text = text.replace(name, f"<temporary {at}>")
        assert not re.search(r"__dbt_tmp\d{12}", text)
        found[plan.name] = text
    return found


def test_what_a_new_dbt_brings_is_planned_each_time(tmp_path: Path) -> None:
    """A name in its contexts of which nobody knows yet whether it is the same each time."""
    files = {"models/hashed.sql": "select '{{ local_md5('a') }}' as id"}
    recorded = asyncio.run(
        recorded_in(tmp_path, NEWEST, "--select", "hashed", "plain", files=files, recorder=(NEWER,))
    )

    assert used(recorded) == {"hashed": "local_md5, which is new in dbt and may be another in each run"}


def test_every_name_of_this_dbt_is_known(version: str) -> None:
    """Whoever tests a newer one looks what its new names are, and adds them to one of the two lists."""
    found = subprocess.run(
        [dbt_python(version), NEWER, "unknown"], stdout=subprocess.PIPE, text=True, check=True
    )

    assert found.stdout.split() == []


ALONE: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "parsed now": ({}, (), "while the project is parsed, it uses "),
    "without partial parsing": ({}, ("--no-partial-parse", "--select", "plain"), "partial parsing is off"),
    "parsed by dbt 2": ({}, ("--use-v2-parser", "--select", "plain"), "dbt 2 parses the project"),
    "a profile of the day": (
        {
            "profiles.yml": PROFILE.replace(
                "dataset: shop", "dataset: shop{{ modules.datetime.date.today().year }}"
            )
        },
        ("--select", "plain"),
        "its profile, its selectors or its comments on queries use the clock",
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_some_plans_are_for_one_run(tmp_path: Path, name: str) -> None:
    """A reason for a person."""
    files, more, why = ALONE[name]
    if "--use-v2-parser" in more and not HAS_1_12:
        pytest.skip("dbt 1.12 has brought it")
    recorded = asyncio.run(recorded_in(tmp_path, NEWEST, *more, files=files))

    found = why_not_kept(recorded.recording, recorded.plan, each_run(recorded.recording))

    assert found is not None
    assert why in found


def test_an_ephemeral_model_that_is_not_selected_counts_for_all_who_read_it(
    version: str, tmp_path: Path
) -> None:
    """dbt compiles it once, for whichever comes first."""
    select = ("--select", "reads_ephemeral", "reads_too")
    recorded = asyncio.run(
        recorded_in(
            tmp_path, version, *select, files={"models/reads_too.sql": "select * from {{ ref('between') }}"}
        )
    )

    uses = each_run(recorded.recording)

    assert {"model.moments.reads_ephemeral", "model.moments.reads_too"} <= set(uses)
