"""
dbt's own adapter test suite, each project it defines built by real dbt and by us.

`python -m tests.fidelity.adapter_suite [--only NAME ...] [--json FILE]`. The suite's assertions are not used: they look at
what dbt did, and here that is compared with what we did. Where BigQuery (or its stand-in) does not take a project's SQL,
both sides fail alike, and the table says so.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fidelity.choice import ALL, Choice
from tests.fidelity.driver import Bench, Build, Options, Pair
from tests.fidelity.rows import NotCompared, Row
from tests.warehouse.child import ROOT

PYTHON = ROOT / ".venvs" / "fidelity" / "bin" / "python"
EXTRACT = Path(__file__).with_name("extract.py")
USERS = {f"DBT_TEST_USER_{number}": f"user:reader{number}@example.com" for number in (1, 2, 3)}


@dataclass(frozen=True)
class Step:
    """One build of a project, and what is changed before it."""

    options: Options
    edits: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  #: by file: texts and what replaces them
    sql: tuple[str, ...] = ()  #: run in each side's dataset, which is called {dataset}
    errors: tuple[str, ...] = ()  #: the nodes that are meant to fail


#: What the projects of some classes read.
ENVIRONMENT = {**USERS, "TERM_TEST": "TESTING", "DBT_ENV_CUSTOM_ENV_MY_VAR": "1"}
_HOOK_COLUMNS = (
    "test_state string, target_dbname string, target_host string, target_name string, target_schema string, "
    "target_type string, target_user string, target_pass string, target_threads int64, run_started_at string, "
    "invocation_id string, thread_id string"
)
#: The tables into which the hooks of the area `hooks` write; dbt's repository has them as files beside its tests.
HOOK_TABLES = (
    "create schema if not exists {dataset}",
    f"create table if not exists {{dataset}}.on_model_hook ({_HOOK_COLUMNS})",
    f"create table if not exists {{dataset}}.on_run_hook ({_HOOK_COLUMNS})",
)


def _options(name: str, **more: object) -> Options:
    # A project of nothing but tests changes no relations, so its plan fits the later build.
    return Options(name, env=ENVIRONMENT, again=None, **more)  # type: ignore[arg-type]


TWICE = (Step(_options("first")), Step(_options("later")))
_SEEDED = (
    Step(_options("seed base", vars={"seed_name": "base"})),
    Step(_options("seed added", vars={"seed_name": "added"})),
)
_WINDOW = ("--event-time-start", "2020-01-01", "--event-time-end", "2020-01-04")
_NEXT_WINDOW = ("--event-time-start", "2020-01-03", "--event-time-end", "2020-01-06")
_PARTITIONED = "partition_by={'field': 'event_time', 'data_type': 'timestamp', 'granularity': 'day'}"
#: The stand-in does not read this way of saying UTC.
_UTC = {":00-0'": ":00+00'"}
_SNAPSHOT = (
    Step(_options("first")),
    Step(_options("later"), edits={"models/fact.sql": {"id between 1 and 20": "id between 4 and 25"}}),
)


def _edited(settings: Mapping[str, str]) -> tuple[Step, ...]:
    """Return steps that build twice, with other settings in ``dbt_project.yml``."""
    return (Step(_options("first"), edits={"dbt_project.yml": settings}), Step(_options("later")))


def _changing(table: str, *, new_column: bool = False) -> tuple[Step, ...]:
    """Return steps on a table that a class makes itself: three rows; one changed and one gone; that one back again."""
    columns = "id, first_name, email, updated_at"
    row = f"insert into {{dataset}}.{table} ({columns}) values ('3', 'Cleo', 'c@x', timestamp '2026-01-{{day}}')"
    made = (
        "create schema if not exists {dataset}",
        f"create table {{dataset}}.{table} (id string, first_name string, email string, updated_at timestamp)",
        f"insert into {{dataset}}.{table} ({columns}) values "
        "('1', 'Ada', 'a@x', timestamp '2026-01-01'), ('2', 'Bo', 'b@x', timestamp '2026-01-01')",
        row.replace("{day}", "01"),
    )
    changed = (
        f"update {{dataset}}.{table} set email = 'new@x', updated_at = timestamp '2026-01-02' where id = '2'",
        f"delete from {{dataset}}.{table} where id = '3'",
    )
    added = (f"alter table {{dataset}}.{table} add column phone string",) if new_column else ()
    return (
        Step(_options("first"), sql=made),
        Step(_options("changed"), sql=(*added, *changed)),
        Step(_options("back"), sql=(row.replace("{day}", "03"),)),
    )


#: Its model has the name of the table that it reads, and which the class makes: only what comes after it can be built.
_TWO_KEYS = (
    Step(
        _options("first", select="snapshot_actual+"),
        sql=(
            "create schema if not exists {dataset}",
            "create table {dataset}.seed (id1 int64, id2 int64, first_name string, updated_at timestamp)",
            "insert into {dataset}.seed (id1, id2, first_name, updated_at) values "
            "(1, 100, 'Ada', timestamp '2026-01-01'), (1, 200, 'Bo', timestamp '2026-01-01')",
        ),
    ),
    Step(
        _options("changed", select="snapshot_actual+"),
        sql=(
            "update {dataset}.seed set first_name = 'Cleo', updated_at = timestamp '2026-01-02' where id2 = 200",
        ),
    ),
)

#: BigQuery wants a condition.
_WHERE = {"set new_col = 1": "set new_col = 1 where true"}

#: Where a class changes data, variables or files between its runs, so do we; else a project is built twice.
STEPS: Mapping[str, tuple[Step, ...]] = {
    "basic.BaseIncremental": _SEEDED,
    "concurrency.BaseConcurrency": (
        Step(_options("first"), errors=("invalid",)),
        Step(_options("later"), errors=("invalid",)),
    ),
    "basic.BaseIncrementalNotSchemaChange": TWICE,
    "basic.BaseSnapshotCheckCols": _SEEDED,
    "basic.BaseSnapshotTimestamp": _SEEDED,
    "simple_snapshot.BaseSimpleSnapshot": _SNAPSHOT,
    "simple_snapshot.BaseSnapshotCheck": _SNAPSHOT,
    "simple_snapshot.BaseSnapshotNewRecordCheckMode": _changing("seed"),
    "simple_snapshot.BaseSnapshotNewRecordDbtValidToCurrent": _changing("seed"),
    "simple_snapshot.BaseSnapshotNewRecordTimestampMode": _changing("seed"),
    "simple_snapshot.BaseSnapshotEphemeralHardDeletes": _changing("src_customers", new_column=True),
    "simple_snapshot.BaseSnapshotNewColumnTimestampStrategy": _changing("src_customers", new_column=True),
    "simple_snapshot.BaseSnapshotNewColumnSpecificCheckCols": _changing("src_customers", new_column=True),
    "simple_snapshot.BaseSnapshotColumnNames": _changing("seed"),
    "simple_snapshot.BaseSnapshotColumnNamesFromDbtProject": _changing("seed"),
    "simple_snapshot.BaseSnapshotDbtValidToCurrent": _changing("seed"),
    "simple_seed.BaseSeedParsing": (
        Step(
            _options("first"),
            sql=(
                "create schema if not exists {dataset}",
                "create table {dataset}.seed_expected as select 1 as seed_id",
            ),
        ),
        Step(_options("later")),
    ),
    "simple_snapshot.BaseSnapshotMultiUniqueKey": _TWO_KEYS,
    "incremental.BaseIncrementalUniqueKey": (
        Step(_options("first")),
        Step(_options("later"), errors=("not_found_unique_key", "not_found_unique_key_list")),
    ),
    "incremental.BaseMicrobatch": (
        Step(
            _options("three days", flags=_WINDOW),
            edits={
                "models/input_model.sql": _UTC,
                # BigQuery's strategy replaces whole partitions.
                "models/microbatch_model.sql": {"unique_key='id'": _PARTITIONED},
            },
        ),
        Step(_options("next days", flags=_NEXT_WINDOW)),
    ),
    "sample_mode.BaseSampleModeTest": (
        Step(_options("all"), edits={"models/input_model.sql": _UTC}),
        Step(_options("sample", flags=("--sample", "{'start': '2025-01-02', 'end': '2025-01-04'}"))),
    ),
    "empty.BaseTestEmpty": (Step(_options("empty", flags=("--empty",))), Step(_options("full"))),
    "empty.BaseTestEmptyInlineSourceRef": (
        Step(_options("empty", flags=("--empty",))),
        Step(_options("full")),
    ),
    "empty.BaseTestEmptySeedFlag": (Step(_options("empty", flags=("--empty",))), Step(_options("full"))),
    "grants.BaseModelGrants": (
        Step(_options("one user")),
        Step(_options("another"), edits={"models/schema.yml": {"DBT_TEST_USER_1": "DBT_TEST_USER_2"}}),
    ),
    "hooks.BasePrePostModelHooksOnSeeds": _edited(
        {**_WHERE, "null::{{ dbt.type_int() }}": "cast(null as {{ dbt.type_int() }})"}
    ),
    "hooks.BasePrePostModelHooksOnSeedsPlusPrefixed": _edited(_WHERE),
    # BigQuery calls the type otherwise.
    "hooks.BasePrePostRunHooks": (
        Step(_options("first"), edits={"dbt_project.yml": {" text ": " string "}}),
        Step(
            _options("later"),
            sql=("drop table if exists {dataset}.schemas", "drop table if exists {dataset}.db_schemas"),
        ),
    ),
    "persist_docs.BasePersistDocs": (Step(_options("first")), Step(_options("later", full_refresh=True))),
}


def compare_adapter_suite(bench: Bench, folder: Path, choice: Choice = ALL) -> Iterator[Row]:
    """
    Build each project of the suite twice, and yield what was found after each step.

    Args:
        bench: With a warehouse.
        folder: For the projects.
        choice: Which of the cases, such as those of "basic." or "hooks.BasePre".
    """
    for case in extracted(folder):
        name = case["case"]
        if not choice.takes(name):
            continue
        if "folder" not in case:
            yield NotCompared(name, "", case["reason"])
            continue
        yield from _compare(bench, name, folder / case["folder"])


def extracted(folder: Path) -> list[dict[str, str]]:
    """Write the suite's projects into *folder* and return what they are; see `extract`."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, EXTRACT, folder], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _compare(bench: Bench, name: str, project: Path) -> Iterator[Row]:
    pair = bench.pair(name, project)
    if name.startswith("hooks."):
        _prepare(bench, pair, Step(_options("tables"), sql=HOOK_TABLES))
    for step in (*seeds_first(project), *STEPS.get(name, TWICE)):
        _prepare(bench, pair, step)
        found = bench.step(
            pair, step.options, errors=lambda build, meant=step.errors: (*meant, *own_errors(build))
        )
        if found.nodes or found.differences or found.refusal:
            yield found
        else:  # the class fills its project only in its test methods
            yield NotCompared(name, step.options.name, "neither side has a node to build")


def own_errors(build: Build) -> tuple[str, ...]:
    """Return the names of nodes that dbt itself refused: no stand-in had a part in it, so all of it is compared."""
    return tuple(
        unique_id.split(".")[2]
        for unique_id, result in build.results.items()
        if result["status"] == "error" and "Database Error" not in (result["message"] or "")
    )


def seeds_first(project: Path) -> tuple[Step, ...]:
    """Return a step for the seeds where models read them as sources, or by name: `dbt build` then knows of no order."""
    if not (project / "seeds").exists():
        return ()
    texts = (path.read_text() for path in project.rglob("*.sql"))
    return (
        (Step(_options("seeds", select="resource_type:seed")),)
        if any("source(" in text or "this.schema" in text for text in texts)
        else ()
    )


def _prepare(bench: Bench, pair: Pair, step: Step) -> None:
    for file, edits in step.edits.items():
        path = pair.project / file
        text = path.read_text()
        for old, new in edits.items():
            if old not in text:
                raise ValueError(f"{pair.name}: there is no {old!r} in {file}")
            text = text.replace(old, new)
        path.write_text(text)
    for side in (pair.theirs, pair.ours):
        for statement in step.sql:
            bench.warehouse.query(statement.format(dataset=side.dataset))


if __name__ == "__main__":
    from tests.fidelity.alone import main

    main(compare_adapter_suite, __doc__)
