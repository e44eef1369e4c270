"""
A dbt project of any size: layers of views, tables and incremental models, each tested, and what they leave behind.
"""

from __future__ import annotations

from pathlib import Path

from cosmos_async.testing import FakeGoogle

PROJECT_ID = "bench-project"
DATASET = "bench"
SOURCES = 10
LAYER = 25  # models
TESTS_EACH = 3
COLUMNS = [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "label", "type": "STRING", "mode": "NULLABLE"},
    {"name": "day", "type": "DATE", "mode": "NULLABLE"},
]

_PROJECT = """\
name: bench
version: "1.0"
profile: bench
"""
_PROFILES = """\
bench:
  target: dev
  outputs:
    dev:
      type: bigquery
      method: service-account
      keyfile: "{{ env_var('BENCH_KEY_FILE') }}"
      project: "{{ env_var('BENCH_PROJECT', 'bench-project') }}"
      dataset: bench
      location: US
      threads: 8
"""
_KINDS = (
    'materialized="view"',
    'materialized="table"',
    'materialized="incremental", unique_key="id"',
    'materialized="table", partition_by={"field": "day", "data_type": "date"}, cluster_by=["label"]',
    'materialized="view"',
)


def write_project(folder: Path, models: int, *, database: str = PROJECT_ID, tests: int = TESTS_EACH) -> None:
    """
    Write a project into *folder*.

    Args:
        folder: Is made.
        models: How many there are.
        database: In which its sources are.
        tests: How many each model has; those beyond two are written as dbt before 1.10 wants them.
    """
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(_PROJECT)
    (folder / "profiles.yml").write_text(_PROFILES)
    documents = ["models:"]
    for number in range(models):
        (folder / "models" / f"{_name(number)}.sql").write_text(_model(number))
        documents.append(_described(number, tests))
    documents += ["sources:", f"  - name: raw\n    database: {database}\n    tables:"]
    documents += [f"      - name: events_{number}" for number in range(SOURCES)]
    (folder / "models" / "schema.yml").write_text("\n".join(documents) + "\n")


def fill_sources(google: FakeGoogle) -> None:
    """Make the tables that the project reads; every query has the columns of its models."""
    for number in range(SOURCES):
        google.add_table(PROJECT_ID, "raw", f"events_{number}", schema=COLUMNS)
    google.on_query("", schema=COLUMNS)


def fill_models(google: FakeGoogle, models: int) -> None:
    """Make what the project has built, as its next run finds it."""
    for number in range(models):
        kind = _KINDS[number % len(_KINDS)]
        more = {}
        if "partition_by" in kind:
            more = {
                "timePartitioning": {"type": "DAY", "field": "day"},
                "clustering": {"fields": ["label"]},
            }
        type_ = "VIEW" if "view" in kind else "TABLE"
        google.add_table(PROJECT_ID, DATASET, _name(number), schema=COLUMNS, type=type_, **more)


def _name(number: int) -> str:
    return f"model_{number:04d}"


def _parents(number: int) -> list[str]:
    first = number // LAYER * LAYER
    if not first:
        return [f"source('raw', 'events_{number % SOURCES}')"]
    position = number - first
    above = first - LAYER
    return [f"ref('{_name(above + (position + step) % LAYER)}')" for step in (0, 7)]


def _model(number: int) -> str:
    selects = [
        f"select id, upper(label) as label, day\nfrom {{{{ {parent} }}}}" for parent in _parents(number)
    ]
    later = (
        "\n{% if is_incremental() %}where day > (select max(day) from {{ this }}){% endif %}"
        if "incremental" in _KINDS[number % len(_KINDS)]
        else ""
    )
    rows = "\nunion all\n".join(selects)
    return (
        f"{{{{ config({_KINDS[number % len(_KINDS)]}) }}}}\n\n"
        f"with rows_of_all as (\n{rows}\n)\n\nselect id, label, day\nfrom rows_of_all{later}\n"
    )


def _described(number: int, tests: int) -> str:
    described = f"""\
  - name: {_name(number)}
    description: The rows of {len(_parents(number))} parents.
    columns:
      - name: id
        description: What tells rows apart.
        data_tests: [{", ".join(("unique", "not_null")[:tests])}]"""
    if tests < TESTS_EACH:
        return described
    return f"""{described}
      - name: label
        data_tests:
          - accepted_values:
              values: [a, b, c]"""
