"""
on-run-end hooks of dbt 2 see the run as if dbt 2 had made it, and do what they do there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dbt2.carried import carry_out, profile
from tests.warehouse.dbt2 import Bench

pytestmark = [pytest.mark.slow, pytest.mark.dbt, pytest.mark.warehouse]

FILES = {
    "profiles.yml": profile("hooked"),
    "models/a.sql": "{{ config(materialized='table', schema='more') }} select 1 as x",
    "models/b.sql": "select x, 'b' as y from {{ ref('a') }}",
    "models/broken.sql": "select nosuch from {{ ref('b') }}",
    "models/below.sql": "select * from {{ ref('broken') }}",
    "models/tests.yml": """
models:
  - name: b
    description: '"b" %} and more }}'
    columns:
      - name: x
        data_tests:
          - unique
          - accepted_values: {arguments: {values: [5]}, config: {severity: warn}}
""",
    # What a package does that keeps what it is told.
    "macros/tell.sql": """
{% macro tell(results) %}
  {% for result in results | sort(attribute='unique_id') %}
    {{ say(result.status ~ (result.message if result.status != 'error') ~ result.failures ~ result.adapter_response.keys() ~ result.timing | length) }}
    {{ say(result.node.unique_id ~ result.node.resource_type ~ result.node.schema ~ result.node.config.materialized) }}
    {{ say(result.to_dict().node.description ~ result.keys() ~ result.node.depends_on.nodes) }}
  {% endfor %}
{% endmacro %}
{% macro tell_unasked() %}{{ say(results | map(attribute='status') | sort | join) }}{% endmacro %}
{% macro say(what) %}
  {% do run_query('insert into ' ~ target.schema ~ '.said values (' ~ (what | replace(target.schema, 'DATASET') | tojson) ~ ')') %}
{% endmacro %}
""",
}
#: A package with a hook of its own.
PACKAGE = {
    "packages.yml": "packages: [{local: pkg}]",
    "pkg/dbt_project.yml": yaml.safe_dump(
        {
            "name": "pkg",
            "version": "1.0.0",
            "on-run-end": "create or replace table {{ target.schema }}.counted as select {{ results | length }} as results",
        }
    ),
    "pkg/models/e.sql": "{{ config(materialized='ephemeral') }} select 1 as x",
}
HOOKS = [
    "create or replace table {{ target.schema }}.said (what string)",
    "{% if execute %}{{ tell(results) }}{{ tell_unasked() }}{% endif %}",
    "{% if execute %}{{ say(schemas | sort | join ~ database_schemas | sort | list ~ selected_resources | sort | join) }}{% endif %}",
    # Reads what the run has built.
    "insert into {{ target.schema }}.said select concat('rows: ', cast(count(*) as string)) from {{ ref('b') }}",
]


def project(folder: Path, hooks: list[str], **files: str) -> Path:
    """Write a project with these on-run-end hooks."""
    told: dict[str, Any] = {"name": "hooked", "version": "1.0.0", "profile": "hooked", "on-run-end": hooks}
    all_files = {**FILES, **files, "dbt_project.yml": yaml.safe_dump(told)}
    for name, text in all_files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def said(bench: Bench, dataset: str) -> list[str]:
    """Return what the hooks have written down."""
    return [row["what"] for row in bench.warehouse.query(f"select what from {dataset}.said order by what")]


@pytest.mark.parametrize("package", [True, False], ids=["package", "alone"])
def test_hooks_see_the_run_as_real_dbt_2_tells_it(bench: Bench, tmp_path: Path, package: bool) -> None:
    """Whatever dbt is told to build for their sake: an ephemeral model, or a test that must not be asked."""
    more = PACKAGE if package else {}
    theirs, ours = f"end_theirs_{package}", f"end_ours_{package}"
    real_project = project(tmp_path / "theirs/hooked", HOOKS, **more)
    if package:
        installed = bench.dbt("deps", project=real_project, dataset=theirs)
        assert installed.status == 0, installed.output
    real = bench.dbt("build", project=real_project, dataset=theirs)
    assert real.status == 1, real.output
    left = said(bench, theirs)
    assert len(left) > 20

    carried, failure = carry_out(
        bench, project(tmp_path / "ours/hooked", HOOKS, **more), dataset=ours, folder=tmp_path / "run"
    )

    assert failure is None
    found = said(bench, ours)
    assert found == left
    if package:
        counted = [bench.warehouse.query(f"select results from {each}.counted") for each in (theirs, ours)]
        assert counted[0] == counted[1]
    assert carried.results["model.hooked.broken"]["status"] == "error"
    assert not [name for name in carried.results if name.startswith("operation.")]


def test_a_hook_that_fails_is_told_and_ends_the_hooks(bench: Bench, tmp_path: Path) -> None:
    """As in dbt 2 those after it are not run; the nodes keep their ends, which dbt 2 would not tell any more."""
    hooks = [
        "create or replace table {{ target.schema }}.first (x int64)",
        "select nosuch from {{ target.schema }}.first",
        "create or replace table {{ target.schema }}.after (x int64)",
    ]

    carried, failure = carry_out(
        bench,
        project(tmp_path / "hooked", hooks),
        dataset="end_fails",
        folder=tmp_path / "run",
        select=["b", "a"],
    )

    assert "operation.hooked.hooked-on-run-end-1 failed" in str(failure)
    assert "nosuch" in str(failure)
    entry = carried.results["operation.hooked.hooked-on-run-end-1"]
    assert (entry["status"], entry["failures"]) == ("error", 1)
    assert carried.results["model.hooked.b"]["status"] == "success"
    names = bench.warehouse.dump("end_fails")
    assert "first" in names
    assert "after" not in names
