"""
What late nodes cost that are planned together, beside the same planned one by one: `python -m tests.bench.late`, or
`make bench-late`.

A project is recorded once on the stand-in for BigQuery. Then its late nodes are planned again and again, one way after the
other, dbt being opened and started as on a worker: once for each node, and once for all. What a worker needs besides, such as
Airflow's own start, is not counted; it comes once for each dbt.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import open_dbt
from cosmos_async.plan.model import Level
from tests.bench.project import PROJECT_ID, fill_models, fill_sources, write_project
from tests.dbt_versions import NEWEST
from tests.forked_dbt import real_dbt
from tests.served import served_google

#: It reads the rows of what the run builds first, and the columns of its own new data.
MODEL = """\
-- depends_on: {{ ref("model_0001") }}
{{ config(materialized="incremental", unique_key="id", on_schema_change="append_new_columns") }}
{% set labels = run_query("select distinct label from " ~ ref("model_0001")).columns[0].values() if execute else [] %}
select id, label, day, '{{ labels | join(",") }}' as labels from {{ ref("model_0002") }}
"""


def took(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that *work* takes, and the processor time of the processes that it starts."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=12, help="that are late")
    parser.add_argument(
        "--models", type=int, default=200, help="of the project besides, with three tests each"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dbt", default=NEWEST, help="the version")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="of each answer of the stand-in")
    options = parser.parse_args()
    late = [f"model.bench.late_{number:02}" for number in range(options.nodes)]
    with (
        tempfile.TemporaryDirectory(prefix="cosmos-async-bench-") as temporary,
        served_google(PROJECT_ID) as google,
    ):
        folder = Path(temporary)
        google.latency = options.latency_ms / 1000
        key = folder / "key.json"
        key.write_text(json.dumps(google.key_file))
        project = folder / "project"
        write_project(project, options.models)
        for unique_id in late:
            (project / "models" / f"{unique_id.rpartition('.')[2]}.sql").write_text(MODEL)
        fill_sources(google)
        fill_models(google, options.models)
        invocation = DbtInvocation(
            project_config=ProjectConfig(project, env_vars={"BENCH_KEY_FILE": str(key)}),
            profile_config=ProfileConfig("bench", "dev", profiles_yml_filepath=project / "profiles.yml"),
            execution_config=ExecutionConfig(dbt_executable_path=real_dbt(options.dbt)),
            append_env=False,
        )

        def opened(*, packages: bool = False):  # type: ignore[no-untyped-def]
            return open_dbt(
                invocation,
                Processes(lambda line: None),
                cache_dir=folder / "cache",
                endpoint=google.bigquery_endpoint,
                packages=packages,
            )

        with opened(packages=True) as dbt:
            plan = record_plan(dbt, dag_id="bench", run_id="run", changing=None).plan
            assert plan.parsed is not None
            parsed = plan.parsed.read_bytes()
        unlike = {plan.nodes[one].reason for one in late if plan.nodes[one].level is not Level.LATE}
        assert not unlike, unlike

        def together(*unique_ids: str) -> None:
            with opened() as dbt:
                made = plan_late(dbt, dict.fromkeys(unique_ids, "r"), run=plan.run, parsed=parsed, apart=True)
            assert Level.DBT not in {each.level for each in made.nodes.values()}

        ratios, beyond = [], []
        for _ in range(options.rounds):
            alone = [took(lambda unique_id=unique_id: together(unique_id)) for unique_id in late]  # type: ignore[misc]
            seconds, cpu = took(lambda: together(*late))
            one = statistics.median(each[1] for each in alone)
            ratios.append(sum(each[1] for each in alone) / cpu)
            beyond.append((cpu - one) / max(1, len(late) - 1))
            print(
                f"{len(late)} nodes one by one {sum(each[0] for each in alone):.1f} s, {sum(each[1] for each in alone):.1f} s "
                f"of a processor; together {seconds:.1f} s, {cpu:.1f} s of a processor: {ratios[-1]:.1f} times; each node "
                f"after the first {beyond[-1]:.2f} s of a processor",
                flush=True,
            )
    print(
        f"median: {statistics.median(ratios):.1f} times, {statistics.median(beyond):.2f} s for each node after the first"
    )


if __name__ == "__main__":
    main()
