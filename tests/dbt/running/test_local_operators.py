"""
Single commands of real dbt as tasks of any DAG: what they leave in the warehouse, in the store and in the log.
"""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import AirflowSkipException
from cosmos_async.config import ProfileConfig
from cosmos_async.exceptions import DbtError
from cosmos_async.operators import local
from cosmos_async.operators.results import ARTIFACTS_KEY
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from tests.warehouse.fixture import BUCKET, Warehouse, warehouse

from .conftest import newest_dbt

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse, newest_dbt]

DATASET = "single_commands"
PROJECT = {
    "dbt_project.yml": """
        name: till
        version: "1.0"
        profile: till
        """,
    "seeds/countries.csv": "code,name\nde,Germany\nfr,France\n",
    "models/lands.sql": "{{ config(materialized='table', schema=var('room', none)) }} select code, '{{ var('day', 1) }}' as day from {{ ref('countries') }}",
    "models/schema.yml": """
        sources:
          - name: raw
            schema: single_commands
            tables:
              - name: countries
                loaded_at_field: timestamp '2020-01-01'
                freshness: {warn_after: {count: 1, period: day}}
        models:
          - name: lands
            columns:
              - name: code
                data_tests:
                  - accepted_values:
                      name: only_germany
                      arguments: {values: [de]}
                      config: {severity: warn}
                  - not_null
        """,
    "snapshots/countries.sql": """
        {% snapshot history %}
        {{ config(target_schema='single_commands', unique_key='code', strategy='check', check_cols='all') }}
        select * from {{ ref('countries') }}
        {% endsnapshot %}
        """,
    "macros/mark.sql": """
        {% macro mark(text, times) %}
          {% do run_query("create or replace table " ~ target.schema ~ ".marks as select '" ~ text ~ "' as text, " ~ times ~ " as times") %}
          {{ log("marked " ~ env_var("COLOUR"), info=True) }}
        {% endmacro %}
        """,
}

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder that nobody else has."""
    root = tmp_path / "till"
    for name, text in PROJECT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text).lstrip())
    return root


@pytest.fixture
def run(
    warehouse: Warehouse,
    executable: Path,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Make an operator, execute it as a worker would, and return its XComs."""
    connection = {
        "conn_type": "google_cloud_platform",
        "extra": {"project": warehouse.project, "keyfile_dict": json.dumps(warehouse.key)},
    }
    monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT", warehouse.endpoint)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", warehouse.endpoint)
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__CACHE_DIR", str(tmp_path / "cache"))
    mapping = GoogleCloudServiceAccountDictProfileMapping(conn_id="gcp", profile_args={"dataset": DATASET})

    def execute(command: str, **words: Any) -> dict[str, Any]:
        xcoms: dict[str, Any] = {}
        operator = getattr(local, f"Dbt{command}LocalOperator")(
            task_id=command.lower(),
            project_dir=project,
            profile_config=ProfileConfig("till", "prod", profile_mapping=mapping),
            dbt_executable_path=executable,
            env={"COLOUR": "{{ colour }}", "DBT_SEND_ANONYMOUS_USAGE_STATS": "False"},
            **words,
        )
        instance = SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id=operator.task_id,
            try_number=1,
            map_index=-1,
            xcom_push=lambda key, value: xcoms.update({key: value}),
        )
        began = SimpleNamespace(start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
        context = {"ti": instance, "dag_run": began, "colour": "green", "day": "7"}
        operator.render_template_fields(context)
        operator.execute(context)
        return xcoms

    warehouse.drop_all(DATASET)
    return execute


def kept(xcoms: dict[str, Any], name: str) -> Any:
    """Return an artifact that a task has left in a local store."""
    return json.loads((Path(xcoms[ARTIFACTS_KEY]) / name).read_text())


def test_commands_do_in_the_warehouse_what_dbt_does(run: Run, warehouse: Warehouse, project: Path) -> None:
    """Seeds, models with variables, snapshots, tests, the freshness of sources and a clone, one after the other."""
    warned: list[tuple[list[str], list[str]]] = []

    def tell(context: Any) -> None:
        warned.append((context["test_names"], context["test_results"]))

    run("Seed")
    ran = run("Run", select="lands", vars={"day": "{{ day }}"}, full_refresh="{{ day == '7' }}")
    run("Snapshot")
    tested = run("Test", select="lands", on_warning_callback=tell)
    run("Source", on_warning_callback=tell)
    run("Build", exclude=["resource_type:test"])
    run("LS", select="lands")

    assert {row["day"] for row in warehouse.query(f"select day from {DATASET}.lands")} == {"1"}
    assert len(warehouse.query(f"select * from {DATASET}.history")) == 2
    assert warned[0] == (["only_germany"], ["Got 1 result, configured to warn if != 0"])
    assert warned[1][0] == ["countries"]
    results = kept(ran, "run_results.json")
    assert [each["unique_id"] for each in results["results"]] == ["model.till.lands"]
    assert results["args"]["vars"] == {"day": "7"}
    assert results["args"]["invocation_command"].startswith("dbt run --select lands")
    assert {each["status"] for each in kept(tested, "run_results.json")["results"]} == {"pass", "warn"}
    assert (
        str(project) in json.dumps(kept(ran, "manifest.json")["metadata"])
        or kept(ran, "manifest.json")["nodes"]
    )
    assert not (project / "target").exists()


def test_an_operation_runs_its_macro_with_its_arguments(
    run: Run, warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may be templates, and so may the environment; the log is dbt's."""
    run("Seed", select="countries")
    run("RunOperation", macro_name="mark", args={"text": "day {{ day }}", "times": 3})
    log = capsys.readouterr().out

    assert warehouse.query(f"select * from {DATASET}.marks") == [{"text": "day 7", "times": "3"}]
    assert "marked green" in log
    assert "PRIVATE KEY" not in log


def test_documentation_is_uploaded(run: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's files are in the bucket, and the artifacts where plans are, too."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH", f"gs://{BUCKET}/runs")
    run("Seed")

    xcoms = run("DocsGCS", connection_id="gcp", bucket_name=BUCKET, folder_dir="site/till")

    names = stored(warehouse)
    site = {name.rpartition("/")[2] for name in names if name.startswith("site/till/")}
    assert site == {"index.html", "manifest.json", "catalog.json"}
    folder = xcoms[ARTIFACTS_KEY].removeprefix(f"gs://{BUCKET}/")
    assert f"{folder}/catalog.json" in names


def stored(warehouse: Warehouse) -> set[str]:
    """Return the names of the objects in the bucket."""
    request = urllib.request.Request(
        f"{warehouse.endpoint}/storage/v1/b/{BUCKET}/o",
        headers={"Authorization": f"Bearer {warehouse.token()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return {item["name"] for item in json.loads(response.read()).get("items", ())}


def test_a_failure_is_told_in_dbts_words_after_the_callbacks(run: Run, project: Path) -> None:
    """Callbacks see the copy with its target, in which artifacts name the user's project."""
    seen: list[Any] = []

    def look(project_dir: str, *, context: Any, colour: str) -> None:
        results = json.loads((Path(project_dir) / "target" / "run_results.json").read_text())
        seen.append((results["results"][0]["status"], context["colour"], colour))

    (project / "models" / "broken.sql").write_text("select * from nowhere.at_all")

    with pytest.raises(DbtError, match=r"broken") as failed:
        run("Run", select="broken", callback=[look], callback_args={"colour": "red"})

    assert seen == [("error", "green", "red")]
    assert "models/broken.sql" in str(failed.value)


def test_an_exit_code_may_mean_that_the_task_is_skipped(run: Run, project: Path) -> None:
    """It is dbt's 1 for a node that fails."""
    (project / "models" / "broken.sql").write_text("select * from nowhere.at_all")

    with pytest.raises(AirflowSkipException, match="exit code 1"):
        run("Run", select="broken", skip_exit_code=1)


def test_a_clone_finds_the_state_from_the_project(run: Run, project: Path, warehouse: Warehouse) -> None:
    """``--state`` names a folder of the user's project, though dbt runs in a copy."""
    run("Seed")
    run("Run")
    compiled = run("Compile")
    (project / "earlier").mkdir()
    (project / "earlier" / "manifest.json").write_text(json.dumps(kept(compiled, "manifest.json")))

    run("Clone", select="lands", vars={"room": "copy"}, dbt_cmd_flags=["--state", "earlier"])

    assert (Path(compiled[ARTIFACTS_KEY]) / "compiled/till/models/lands.sql").is_file()
    assert len(warehouse.query(f"select * from {DATASET}_copy.lands")) == 2
