"""
What an author sets in the profile, in the project and on the command line is in the jobs of our plans as it is in dbt's.

Each case plans a project on the stand-in, then builds it there with real dbt, and compares the jobs.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.constants import TestIndirectSelection
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import Planned, record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import JobOperation, Level, NodePlan
from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import clean_environment

from .conftest import newest_dbt

pytestmark = [pytest.mark.dbt, newest_dbt]

PROJECT_ID = "kitchen-project"
COLUMNS = [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
]
FILES = {
    "dbt_project.yml": """
        name: market
        version: "1.0"
        profile: market
        on-run-start: "create table if not exists {{ target.project }}.{{ target.schema }}.audit (node string)"
        query-comment:
          comment: '{"team": "market", "node": "{{ node.unique_id if node else none }}"}'
          append: true
          job-label: true
        models:
          +labels: {owner: market}
        """,
    "profiles.yml": """
        market:
          target: dev
          outputs:
            dev: &dev
              type: bigquery
              method: service-account
              keyfile: "{{ env_var('MARKET_KEY_FILE') }}"
              project: kitchen-project
              dataset: market
              threads: 4
            other:
              <<: *dev
              dataset: bazaar
            options:
              <<: *dev
              location: EU
              execution_project: payer-project
              quota_project: quota-project
              priority: batch
              maximum_bytes_billed: 1000000000
              reservation: projects/payer-project/locations/EU/reservations/nightly
              job_execution_timeout_seconds: 300
              job_creation_timeout_seconds: 30
              job_retries: 3
        """,
    "models/stalls.sql": """
        {{ config(materialized="table", post_hook="insert into kitchen-project.{{ target.schema }}.audit values ('stalls')") }}
        select id, at, '{{ var("zone", "north") }}' as zone from {{ source('raw', 'events') }}
        """,
    "models/takings.sql": """
        {{ config(materialized="incremental", unique_key="id") }}
        select id, at from {{ ref('stalls') }}
        {% if is_incremental() %} where id > 7 {% endif %}
        """,
    "models/takings_by_day.sql": "select * from {{ ref('takings') }} join {{ ref('goods') }} using (id)",
    "models/schema.yml": """
        sources:
          - name: raw
            database: kitchen-project
            tables:
              - name: events
                config: {event_time: at}
        models:
          - name: stalls
            config: {event_time: at}
            columns:
              - name: id
                data_tests:
                  - not_null
                  - relationships: {arguments: {to: ref('takings'), field: id}, config: {severity: warn}}
        """,
    "seeds/goods.csv": "id,name\n1,apples\n",
    "selectors.yml": """
        selectors:
          - name: nightly
            definition: {method: fqn, value: stalls}
        """,
}


class Market:
    """The project, planned by us and built by dbt."""

    def __init__(self, root: Path, google: FakeGoogle, dbt: Path, folder: Path) -> None:
        self.root = root
        self.google = google
        self.dbt = dbt
        self.lines: list[str] = []
        self._cache = folder / "cache"
        self.env = {"MARKET_KEY_FILE": str(folder / "key.json"), "DBT_SEND_ANONYMOUS_USAGE_STATS": "False"}

    def write(self, files: dict[str, str]) -> None:
        """Add files to the project, or replace them."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def plan(self, **options: Any) -> Planned:
        """Plan the project as a setup task does."""
        with self._opened(**options) as dbt:
            return record_plan(dbt, dag_id="market", run_id="run")

    def plan_twice(self, unique_id: str, **options: Any) -> tuple[NodePlan, NodePlan]:
        """Return a node's plan, and another one made later in the same run."""
        with self._opened(**options) as dbt:
            plan = record_plan(dbt, dag_id="market", run_id="run").plan
            late = plan_late(dbt, {unique_id: "It was asked for."}, run=plan.run)
            return plan.nodes[unique_id], late.nodes[unique_id]

    @contextmanager
    def _opened(self, *, target: str = "dev", indirect: str = "eager", **options: Any) -> Iterator[Dbt]:
        invocation = DbtInvocation(
            project_config=ProjectConfig(self.root, env_vars={**self.env, **options.pop("env", {})}),
            profile_config=ProfileConfig(
                profile_name="market", target_name=target, profiles_yml_filepath=self.root / "profiles.yml"
            ),
            execution_config=ExecutionConfig(
                dbt_executable_path=self.dbt, test_indirect_selection=TestIndirectSelection(indirect)
            ),
            append_env=False,
            **options,
        )
        processes = Processes(self.lines.append)
        with open_dbt(
            invocation, processes, cache_dir=self._cache, endpoint=self.google.bigquery_endpoint
        ) as dbt:
            yield dbt

    def build(self, *arguments: str) -> list[dict[str, Any]]:
        """Build the project with real dbt and return the jobs it inserted."""
        seen = len(self.google.mutations)
        env = clean_environment(BIGQUERY_EMULATOR_HOST=self.google.bigquery_endpoint, **self.env)
        built = subprocess.run(
            [self.dbt, "build", *arguments],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "ERROR=0 SKIP=0" in built.stdout, built.stdout + built.stderr
        inserted = [r.json for r in self.google.mutations[seen:] if r.operation == "jobs.insert"]
        return [body for body in inserted if not body["configuration"].get("dryRun")]


@pytest.fixture
def market(google: FakeGoogle, executable: Path, tmp_path: Path) -> Market:
    """The project on a stand-in that has its source alone."""
    google.add_table(PROJECT_ID, "raw", "events", schema=COLUMNS)
    google.on_query("", schema=COLUMNS)
    passed = [
        {"name": "failures", "type": "INTEGER", "mode": "NULLABLE"},
        {"name": "should_warn", "type": "BOOLEAN", "mode": "NULLABLE"},
        {"name": "should_error", "type": "BOOLEAN", "mode": "NULLABLE"},
    ]
    google.on_query("should_error", schema=passed, rows=[[0, False, False]])
    (tmp_path / "key.json").write_text(json.dumps(google.key_file))
    result = Market(tmp_path / "market", google, executable, tmp_path)
    result.write(FILES)
    return result


def different(planned: Planned, built: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the jobs that only the plan has, and those that only dbt has inserted."""
    mine, theirs = Counter(ours(planned)), Counter(dbts(built))
    assert mine
    return sorted((mine - theirs).elements()), sorted((theirs - mine).elements())


def ours(planned: Planned) -> list[str]:
    """Return every job of a plan, those that all nodes share once."""
    assert [node for node in planned.plan.nodes.values() if node.level is Level.DBT] == []
    steps = [*planned.plan.prelude, *(step for node in planned.plan.nodes.values() for step in node.steps)]
    jobs = [step for step in steps if isinstance(step, JobOperation)]
    shared = {step.shared: step for step in jobs if step.shared}
    found = [*shared.values(), *(step for step in jobs if not step.shared)]
    return [words(step.project, step.location, step.configuration) for step in found]


def dbts(jobs: list[dict[str, Any]]) -> list[str]:
    """Return the jobs that real dbt inserted, in the same words."""
    return [
        words(job["jobReference"]["projectId"], job["jobReference"].get("location"), job["configuration"])
        for job in jobs
    ]


def words(project: str, location: str | None, configuration: dict[str, Any]) -> str:
    """Return what must be equal: all but the invocation's id and the names of temporary tables."""
    labels = {k: v for k, v in configuration.get("labels", {}).items() if k != "dbt_invocation_id"}
    text = json.dumps([project, location, {**configuration, "labels": labels}], sort_keys=True)
    return re.sub(r"__dbt_tmp_?\d+", "__dbt_tmp", text)


def sql(node: NodePlan) -> str:
    """Return the main statement of a node."""
    [main] = [step for step in node.steps if isinstance(step, JobOperation) and step.main]
    return str(main.configuration["query"]["query"])


def test_the_options_of_jobs_are_those_of_profile_and_configs(market: Market) -> None:
    """Comment, labels, priority, bytes, reservation, timeouts, location and the project that pays; and the quota's."""
    own = FILES["models/takings.sql"].replace('"id")', '"id", job_execution_timeout_seconds=77)')
    market.write({"models/takings.sql": own})

    planned = market.plan(target="options", vars={"zone": "south"})

    built = market.build("--target", "options", "--vars", "{zone: south}")

    assert different(planned, built) == ([], [])
    [stalls] = [job for job in built if "south" in json.dumps(job)]
    configuration = stalls["configuration"]
    assert stalls["jobReference"]["projectId"] == "payer-project"
    assert stalls["jobReference"]["location"] == "EU"
    assert configuration["query"]["priority"] == "BATCH"
    assert configuration["query"]["maximumBytesBilled"] == "1000000000"
    assert configuration["reservation"] == "projects/payer-project/locations/EU/reservations/nightly"
    assert configuration["jobTimeoutMs"] == "300000"
    assert configuration["labels"]["team"] == "market"
    assert configuration["labels"]["node"] == "model_market_stalls"
    assert '"node": "model.market.stalls"' in configuration["query"]["query"]
    assert any(job["configuration"].get("jobTimeoutMs") == "77000" for job in built)
    # What the triggerer sends, too: cosmos_async.triggers.google.bigquery.
    sent = {request.headers.get("x-goog-user-project") for request in market.google.mutations}
    assert sent == {"quota-project"}


SAMPLE = json.dumps({"start": "2024-01-01", "end": "2024-01-03"})
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "full refresh of another target, by selector": (
        {"target": "other", "selector": "nightly", "indirect": "cautious", "full_refresh": True},
        ["--target", "other", "--selector", "nightly", "--indirect-selection", "cautious", "--full-refresh"],
    ),
    "selected and excluded, empty": (
        {"select": ["stalls+", "goods"], "exclude": ["takings_by_day"], "dbt_cmd_flags": ["--empty"]},
        ["--select", "stalls+", "goods", "--exclude", "takings_by_day", "--empty"],
    ),
    "a sample": (
        {"select": "stalls", "dbt_cmd_flags": ["--sample", SAMPLE]},
        ["--select", "stalls", "--sample", SAMPLE],
    ),
    "failures stored, warnings as errors": (
        {
            "select": "stalls takings",
            "dbt_cmd_flags": ["--store-failures"],
            "dbt_cmd_global_flags": ["--warn-error"],
        },
        ["--warn-error", "--select", "stalls takings", "--store-failures"],
    ),
}


@pytest.mark.parametrize(("options", "arguments"), CASES.values(), ids=CASES.keys())
def test_an_option_of_dbt_means_the_same(
    market: Market, options: dict[str, Any], arguments: list[str]
) -> None:
    """In a plan as in `dbt build`, job by job, on tables that are there."""
    for dataset in ("market", "bazaar"):
        for table in ("stalls", "takings"):
            market.google.add_table(PROJECT_ID, dataset, table, schema=COLUMNS)

    planned = market.plan(**options)

    assert different(planned, market.build(*arguments)) == ([], [])
    warn_error = "--warn-error" in arguments
    rules = [node.test.warn_error for node in planned.plan.nodes.values() if node.test is not None]
    assert rules
    assert set(rules) == {warn_error}


def test_a_run_defers_to_artifacts_beside_the_project(market: Market) -> None:
    """A relative --state is found although dbt runs in a copy of the project, which has no target folder."""
    market.build("--target", "other")  # leaves its manifest in the project's target folder
    options = ["--defer", "--state", "target", "--favor-state"]

    planned = market.plan(select="takings_by_day", dbt_cmd_flags=options)

    (market.root / "target").rename(market.root / "kept")
    built = market.build("--select", "takings_by_day", "--defer", "--state", "kept", "--favor-state")
    assert different(planned, built) == ([], [])
    assert "`kitchen-project`.`bazaar`.`takings`" in sql(planned.plan.nodes["model.market.takings_by_day"])


def test_a_relative_sample_is_one_window_for_the_whole_run(market: Market) -> None:
    """It ends when the run begins, also for a node that is planned or run later; so does `run_started_at`."""
    market.write(
        {"models/stalls.sql": FILES["models/stalls.sql"].replace("{{ var(", "{{ run_started_at }}{{ var(")}
    )

    early, late = market.plan_twice(
        "model.market.stalls", select="stalls", dbt_cmd_flags=["--sample", "2 days"]
    )

    assert "cast(at as timestamp) >= '" in sql(early)
    assert sql(early) == sql(late)


def test_with_fail_fast_everything_is_planned(market: Market) -> None:
    """A node that dbt cannot plan says nothing of the others; whether they are stopped, the run tells."""
    market.write(
        {
            "dbt_project.yml": FILES["dbt_project.yml"] + "\n        flags: {fail_fast: true}\n",
            "models/broken.sql": "{% if execute %}{{ exceptions.raise_compiler_error('no') }}{% endif %}",
        }
    )

    planned = market.plan()

    levels = {node.name: node.level for node in planned.plan.nodes.values()}
    assert levels.pop("broken") is Level.DBT
    assert Level.DBT not in levels.values()
    assert {"stalls", "takings", "takings_by_day", "goods"} <= set(levels)
    assert planned.plan.run.fail_fast
    assert not market.plan(select="goods", dbt_cmd_flags=["--no-fail-fast"]).plan.run.fail_fast
    assert market.plan(select="goods", fail_fast=True).plan.run.fail_fast


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({}, {"selector": "weekly"}, "Could not find selector named weekly"),
        (
            {
                "models/one.sql": "select * from {{ ref('two') }}",
                "models/two.sql": "select * from {{ ref('one') }}",
            },
            {},
            "Found a cycle",
        ),
        (
            {"models/stalls.sql": "select * from {{ source('raw', 'nothing') }}"},
            {},
            "source named 'raw.nothing' which was not found",
        ),
        ({}, {"dbt_cmd_flags": ["--sample", "some days"]}, "Unable to convert 'some' to an integer"),
        ({}, {"dbt_cmd_flags": ["--nonsense"]}, "No such option"),
    ],
    ids=["unknown selector", "cycle", "missing source", "wrong sample", "unknown option"],
)
def test_dbt_itself_says_what_is_wrong(
    market: Market, files: dict[str, str], options: dict[str, Any], said: str
) -> None:
    """At setup, in its own words, before anything was written."""
    market.write(files)

    with pytest.raises(DbtError) as refused:
        market.plan(**options)

    assert said in str(refused.value)
    assert market.google.mutations == []


def test_a_dbt_of_an_unknown_generation_is_refused(market: Market, tmp_path: Path) -> None:
    """Its tables of contents may mean something else; the message names those that are known."""
    metadata = tmp_path / "future" / "dbt_core-2.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: dbt-core\nVersion: 2.0.0\n")

    with pytest.raises(DbtError, match=r"dbt-core 2\.0\.0 is dbt 2, .*Install dbt-core 1\.9 to 1\.12"):
        market.plan(env={"PYTHONPATH": str(tmp_path / "future")})
