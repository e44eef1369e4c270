"""
A dbt that talks to the stand-in: the project, its profile and the interpreters the tests run in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.testing import FakeGoogle
from tests.dbt_versions import NEWEST
from tests.forked_dbt import forked_dbt
from tests.served import served_google

ROOT = Path(__file__).parents[3]
KITCHEN = ROOT / "tests" / "projects" / "kitchen"

#: For what does not depend on dbt's version.
newest_dbt = pytest.mark.parametrize("executable", [NEWEST], indirect=True)

OpenDbt = Callable[..., AbstractContextManager[Dbt]]


@pytest.fixture(params=["1.9", NEWEST])
def executable(request: pytest.FixtureRequest) -> Path:
    """The dbt script of each supported generation."""
    return forked_dbt(request.param)


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A stand-in that serves from a thread of its own, as dbt is waited for."""
    with served_google("kitchen-project") as fake:
        yield fake


@pytest.fixture
def environment(google: FakeGoogle) -> dict[str, str]:
    """What the kitchen's profile reads from the environment."""
    key = google.key_file
    return {
        "KITCHEN_PROJECT": "kitchen-project",
        "KITCHEN_CLIENT_EMAIL": key["client_email"],
        "KITCHEN_PRIVATE_KEY_ID": key["private_key_id"],
        "KITCHEN_TOKEN_URI": key["token_uri"],
        "DBT_ENV_SECRET_KITCHEN_PRIVATE_KEY": key["private_key"],
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    }


@pytest.fixture
def lines() -> list[str]:
    """What the task's log would show."""
    return []


@pytest.fixture
def opened(
    executable: Path,
    environment: dict[str, str],
    google: FakeGoogle,
    lines: list[str],
    tmp_path: Path,
) -> OpenDbt:
    """Open dbt for the kitchen project, or another one, with the invocation's options."""

    def open_(
        project: Path = KITCHEN, *, packages: bool = True, **options: Any
    ) -> AbstractContextManager[Dbt]:
        invocation = DbtInvocation(
            project_config=ProjectConfig(project, env_vars=environment),
            profile_config=ProfileConfig(
                profile_name="kitchen", target_name="dev", profiles_yml_filepath=KITCHEN / "profiles.yml"
            ),
            execution_config=ExecutionConfig(dbt_executable_path=executable),
            append_env=False,
            **options,
        )
        return open_dbt(
            invocation,
            Processes(lines.append),
            cache_dir=tmp_path / "cache",
            endpoint=google.bigquery_endpoint,
            packages=packages,
        )

    return open_


SHOP = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: kitchen
        on-run-start: "insert into {{ target.schema }}.hooks values ('start')"
        on-run-end: "insert into {{ target.schema }}.hooks values ('end: {% for result in results %}{{ result.node.name }} {% endfor %}')"
        """,
    # A folder and a model of one name: `fqn:shop.orders` and `orders` mean both models.
    "models/orders/orders.sql": """
        {{ config(materialized="table") }}
        select 1 as id, '{{ run_started_at }}' as started, '{{ invocation_id }}' as invocation,
          {{ selected_resources | length }} as selected, {{ var("day", 1) }} as day
        """,
    "models/orders/lines.sql": "select * from {{ ref('orders') }}",
    "models/orders/totals.sql": "select count(*) as lines from {{ ref('lines') }}",
    "models/orders/schema.yml": """
        models:
          - name: orders
            columns:
              - name: id
                data_tests: [unique, not_null]
          - name: lines
            columns:
              - name: id
                data_tests:
                  - not_null:
                      config: {severity: warn}
        unit_tests:
          - name: totals_count_lines
            model: totals
            given:
              - input: ref('lines')
                rows: [{id: 1}, {id: 2}]
            expect:
              rows: [{lines: 2}]
        exposures:
          - name: dashboard
            type: dashboard
            owner: {name: someone, email: someone@example.com}
            depends_on: [ref('totals')]
        """,
    "seeds/countries.csv": "code,name\nde,Germany\n",
}


@pytest.fixture
def shop(tmp_path: Path, google: FakeGoogle) -> Path:
    """A project whose names are as awkward as dbt allows, and the table its hooks write to."""
    google.add_table("kitchen-project", "kitchen", "hooks", schema=[{"name": "said", "type": "STRING"}])
    root = tmp_path / "shop"
    for name, text in SHOP.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root
