"""
The recorder, run by both dbt versions on a warehouse full of tables that dbt would drop, replace, patch, load and copy.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt_rules.columns import described, split_known, with_added, with_synced
from cosmos_async.dbt_rules.grants import change_between, current_grants, script
from cosmos_async.dbt_rules.partitions import copy_of, partition_ids
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    Step,
)
from cosmos_async.testing import FakeGoogle, Request
from tests.dbt.recording import (
    NOWHERE,
    PROJECT,
    RECORDER,
    ROOT,
    Ended,
    Recorded,
    arguments,
    build,
    clean_environment,
    dbt_python,
    record,
    run,
)
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

DATE = {"name": "d", "type": "DATE", "mode": "NULLABLE"}
COLUMNS = [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "name", "type": "STRING", "mode": "NULLABLE"},
    DATE,
]
#: Nested columns, one of them repeated, and what was said of them before.
STRUCTURED = [
    {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "An old number."},
    {"name": "Name", "type": "STRING", "mode": "NULLABLE", "maxLength": "20", "description": "Kept."},
    {
        "name": "address",
        "type": "RECORD",
        "mode": "NULLABLE",
        "fields": [
            {"name": "city", "type": "STRING", "mode": "NULLABLE", "policyTags": {"names": ["p/1"]}},
            {
                "name": "lines",
                "type": "RECORD",
                "mode": "REPEATED",
                "description": "Kept, too.",
                "fields": [{"name": "text", "type": "STRING", "mode": "NULLABLE"}],
            },
        ],
    },
]
SNAPSHOT = [
    *COLUMNS[:2],
    {"name": "dbt_updated_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "dbt_valid_from", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "dbt_valid_to", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "dbt_scd_id", "type": "STRING", "mode": "NULLABLE"},
]
GRANT_COLUMNS = [
    {"name": "privilege_type", "type": "STRING", "mode": "NULLABLE"},
    {"name": "grantee", "type": "STRING", "mode": "NULLABLE"},
]
#: Who may do what with every relation: one who stays, one who goes, one privilege of another.
GRANTED = [
    ["roles/bigquery.dataviewer", "user:A@example.com"],
    ["roles/bigquery.dataOwner", "group:b@example.com"],
    ["roles/bigquery.dataviewer", "user:c@example.com"],
]
MORE = {"name": "more", "type": "FLOAT", "mode": "NULLABLE"}
#: A record that the new data gives another field, and a column it no longer has.
NEW_SHAPE = [
    COLUMNS[0],
    {
        **STRUCTURED[2],
        "fields": [STRUCTURED[2]["fields"][0], {"name": "zip", "type": "STRING", "mode": "NULLABLE"}],
    },
    MORE,
]
#: The columns of the tables that natives change, as the stand-in has them; it takes no column away.
CHANGED = {"described_columns": STRUCTURED, "widened": COLUMNS, "reshaped": STRUCTURED, "history": SNAPSHOT}
#: What the stand-in has for the partitions that new data has.
PARTITIONS = {
    "by_day": [{"name": "d", "type": "DATE"}, "2024-01-01", "2024-03-01"],
    "by_number": [{"name": "id", "type": "INTEGER"}, "10", "30"],
    "by_arrival": [{"name": "at", "type": "TIMESTAMP"}, "1704067200000000", "1704070800000000"],
}
CHANGES = [{"name": "dbt_change_type", "type": "STRING", "mode": "NULLABLE"}, *SNAPSHOT]
PASSED = [
    {"name": "failures", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "should_warn", "type": "BOOLEAN", "mode": "NULLABLE"},
    {"name": "should_error", "type": "BOOLEAN", "mode": "NULLABLE"},
]
#: What real dbt cannot do on the stand-in, or does in its own way.
LEFT = {"broken", "outside"}
#: What cannot be planned before what it reads is built.
LATE = {"own_rows", "own_tables"}


def fill(google: FakeGoogle) -> None:
    """Put everything there that the project builds, in another shape where dbt then has to drop it."""
    project = google.project_id
    day = {"timePartitioning": {"type": "DAY", "field": "d"}}
    google.add_table(project, "raw", "events", schema=COLUMNS)
    for name in (
        "merged",
        "growing",
        "copied",
        "described",
        "hooked",
        "codes",
        "repartitioned",
    ):
        google.add_table(project, "shop", name, schema=COLUMNS)
    google.add_table(project, "shop", "described_columns", schema=STRUCTURED)
    google.add_table(project, "shop", "overwritten", schema=COLUMNS, **day)
    google.add_table(project, "shop", "was_view", schema=COLUMNS, type="VIEW")
    google.add_table(project, "shop", "as_view", schema=COLUMNS, type="VIEW")
    google.add_table(project, "shop", "accessing", schema=COLUMNS[:1], type="VIEW")
    google.add_table(project, "shop", "granted", schema=COLUMNS[:1])
    google.add_table(project, "shop", "history", schema=SNAPSHOT)
    google.add_table(project, "shop_dbt_test__audit", "unique_merged_id", schema=COLUMNS)
    google.add_dataset(project, "shop_dbt_test__audit")
    google.on_query("", schema=COLUMNS)
    google.on_query("select name from", schema=COLUMNS[1:2])
    google.on_query("`described_columns`", schema=STRUCTURED)
    google.on_query("dbt_scd_id", schema=SNAPSHOT)
    google.on_query("dbt_change_type", schema=CHANGES)
    google.on_query("should_error", schema=PASSED, rows=[[0, False, False]])
    google.add_table(project, "shop", "widened", schema=COLUMNS)
    google.on_query(r"select \* except .*`reshaped`", schema=STRUCTURED)
    google.on_query("d, more from|`widened__dbt_tmp`", schema=[*COLUMNS, MORE])
    google.add_table(project, "shop", "reshaped", schema=STRUCTURED)
    google.on_query(
        r"address, more from|select \* from `writes-project.shop.reshaped__dbt_tmp", schema=NEW_SHAPE
    )
    google.add_table(project, "shop", "by_day", schema=COLUMNS, **day)
    google.add_table(project, "shop", "by_number", schema=COLUMNS)
    google.add_table(project, "shop", "by_arrival", schema=COLUMNS[:2])
    for name, (column, *values) in PARTITIONS.items():
        google.on_query(
            rf"select distinct[^;]*`{name}__dbt_tmp", schema=[column], rows=[[value] for value in values]
        )
    google.on_query("OBJECT_PRIVILEGES", schema=GRANT_COLUMNS, rows=GRANTED)
    google.on_query("select distinct kind", rows=[{"kind": "click"}, {"kind": "view"}])


@pytest.fixture(scope="module", params=[NEWEST, "1.9"])
def recorded(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The project recorded, then built by real dbt, on the same stand-in."""
    folder = tmp_path_factory.mktemp("recorded")

    async def both() -> Recorded:
        async with FakeGoogle(project_id="writes-project") as google:
            fill(google)
            result = await record(google, request.param, folder)
            result.built = await build(google, request.param, folder, "--exclude", *LEFT)
            return result

    return asyncio.run(both())


def plan_of(recorded: Recorded, name: str) -> NodePlan:
    """Return a node's plan by the node's name."""
    return next(plan for plan in recorded.plan.nodes.values() if plan.name == name)


def writes(plan: NodePlan) -> list[str]:
    """Return what a node's plan changes, in words that can be compared."""
    tables = {name: list(columns) for name, columns in CHANGED.items()}
    return [words for step in plan.steps for words in _write(step, tables)]


def _write(step: Step, tables: dict[str, Any]) -> list[str]:
    if isinstance(step, Guard):
        return []
    if isinstance(step, JobOperation):
        return [_job(step.configuration)]
    if isinstance(step, NativeOperation):
        return _native(step, tables)
    return [f"{step.method} {_normal(step.path)} {_body(step.body)}"]


def _native(step: NativeOperation, tables: dict[str, Any]) -> list[str]:
    """As the executor does it, to what the stand-in has."""
    if step.kind is NativeKind.GRANTS:
        rows = [{"f": [{"v": value} for value in row]} for row in GRANTED]
        current = current_grants({"schema": {"fields": GRANT_COLUMNS}, "rows": rows})
        sql = script(change_between(step.payload["grants"], current), step.payload["texts"])
        configuration = step.payload["apply"]["configuration"]
        return [_job({**configuration, "query": {**configuration["query"], "query": sql}})]
    if step.kind is NativeKind.COPY_PARTITIONS:
        column, *values = PARTITIONS[step.request["table"]]
        rows = [{"f": [{"v": value}]} for value in values]
        found = partition_ids({"schema": {"fields": [column]}, "rows": rows}, step.payload["pattern"])
        return [_job(copy_of(step.payload["copy"]["configuration"], partition)) for partition in found]
    if step.kind is NativeKind.GRANT_ACCESS:
        path = "projects/{project}/datasets/{dataset}".format(**step.request)
        return [f"PATCH {path} {_body({'access': [step.payload['entry']]})}"]
    path = "projects/{project}/datasets/{dataset}/tables/{table}".format(**step.request)
    fields = tables[step.request["table"]]
    if step.kind is NativeKind.ADD_COLUMNS:
        fields = with_added(fields, step.payload["columns"], replacing=step.payload["replacing"])
    elif step.kind is NativeKind.SYNC_STRUCTS:
        fields = with_synced(fields, NEW_SHAPE, step.payload["columns"])
    elif step.kind is NativeKind.UPDATE_COLUMNS:
        columns = step.payload["columns"]
        if step.payload["checked"]:
            columns, _ = split_known(fields, columns)
        fields = described(fields, columns)
    else:
        raise NotImplementedError(step.kind)
    tables[step.request["table"]] = fields
    return [f"PATCH {path} {_body({'schema': {'fields': fields}})}"]


def built(requests: list[Request], plan: NodePlan) -> list[str]:
    """Return what real dbt changed for a node, in the same words."""
    found = []
    for request in requests:
        body = request.json if request.operation != "uploads.continue" else None
        if request.operation == "jobs.insert":
            configuration = body["configuration"]
            target = (configuration.get("load") or configuration.get("copy") or {}).get("destinationTable")
            sql = configuration.get("query", {}).get("query", "")
            if plan.test is None and reads(sql):
                continue  # the plan has a guard instead
            if (target and _is(plan, target["tableId"].partition("$")[0])) or f'"{plan.unique_id}"' in sql:
                found.append(_job(configuration))
        elif request.operation == "datasets.patch" and plan.relation is not None:
            if plan.relation.endswith("." + body["access"][-1]["view"]["tableId"]):
                found.append(f"PATCH {request.path.split('/bigquery/v2/')[1]} {_body(body)}")
        elif request.operation.startswith("tables."):
            path = request.path.split("/bigquery/v2/")[1]
            if _is(plan, path.rsplit("/", 1)[1]):
                found.append(f"{request.method} {_normal(path)} {_body(body)}")
    return found


def _is(plan: NodePlan, table: str) -> bool:
    return (
        plan.relation is not None
        and re.sub("__dbt_(tmp|backup)$", "", _normal(table)) == plan.relation.rsplit(".", 1)[1]
    )


def _job(configuration: dict[str, Any]) -> str:
    # The invocation's id is the only thing that must differ.
    labels = {
        key: value for key, value in configuration.get("labels", {}).items() if key != "dbt_invocation_id"
    }
    return _normal(json.dumps({**configuration, "labels": labels}, sort_keys=True))


def _body(body: Any) -> str:
    return "" if body is None else json.dumps(body, sort_keys=True)


def _normal(text: str) -> str:
    return re.sub(r"__dbt_tmp_?\d+", "__dbt_tmp", text)


def test_the_warehouse_sees_reads_only(recorded: Recorded) -> None:
    """Whatever dbt would do to the tables that are there: nothing but reads and dry runs leaves the machine."""
    changes = [
        request
        for request in recorded.mutations
        if request.operation != "jobs.insert" or not reads(request.json["configuration"]["query"]["query"])
    ]

    assert changes == []
    assert recorded.tables_after == recorded.tables_before
    assert {request.operation for request in recorded.requests} >= {
        "tables.get",
        "tables.list",
        "jobs.insert",
    }


def reads(sql: str) -> bool:
    """Tell whether *sql* is one SELECT."""
    sql = re.sub(r"/\*.*?\*/", "", sql, flags=re.DOTALL).strip().lower()
    return sql.startswith("select") and ";" not in sql


def test_one_token_serves_all_nodes(recorded: Recorded) -> None:
    """dbt's own clients read the service account's key once for each node, which takes longer than all else."""
    # Two threads that begin at one time ask both.
    assert [request.operation for request in recorded.requests].count("token") <= 2 < len(recorded.plan.nodes)


def test_the_plan_is_what_real_dbt_sends(recorded: Recorded) -> None:
    """Statement by statement, options included, in dbt's order."""
    different = {
        plan.unique_id: (writes(plan), built(recorded.built, plan))
        for plan in recorded.plan.nodes.values()
        if plan.level not in (Level.DBT, Level.LATE) and writes(plan) != built(recorded.built, plan)
    }

    assert different == {}


def test_what_cannot_be_planned_is_left_to_dbt_with_its_reason(recorded: Recorded) -> None:
    """Each node at level D says in a sentence why."""
    reasons = {plan.name: plan.reason for plan in recorded.plan.nodes.values() if plan.level is Level.DBT}

    assert set(reasons) == LEFT
    assert "Python model" in reasons["outside"]
    assert "this model cannot be compiled" in reasons["broken"]


def test_what_this_run_changes_first_is_planned_late(recorded: Recorded) -> None:
    """A read of what another node of the run builds is for later, be it of rows or of metadata; there are no steps."""
    late = {plan.name: plan for plan in recorded.plan.nodes.values() if plan.level is Level.LATE}

    assert set(late) == LATE
    assert "depends on the rows of writes-project.shop.merged" in late["own_rows"].reason
    assert "shop.INFORMATION_SCHEMA.TABLES" in late["own_tables"].reason
    assert [plan.steps for plan in late.values()] == [(), ()]


def test_every_node_that_writes_looks_at_its_target_first(recorded: Recorded) -> None:
    """A plan for a table that is there must not be carried out where it is not, nor the other way round."""
    for plan in recorded.plan.nodes.values():
        if plan.level in (Level.DBT, Level.LATE) or (plan.resource_type == "test" and plan.relation is None):
            continue
        first = plan.steps[0]
        assert isinstance(first, Guard), plan.unique_id
        assert (first.kind, first.subject) == (GuardKind.TARGET_STATE, plan.relation)

    states = {
        plan.name: plan.steps[0].expected
        for plan in recorded.plan.nodes.values()
        if plan.relation and plan.steps
    }
    assert states["was_view"] == "VIEW"
    assert states["merged"] == "TABLE"
    assert states["pivoted"] == "absent"


def test_a_drop_comes_before_what_replaces_the_table(recorded: Recorded) -> None:
    """Another partitioning, or a view where a table shall be: dbt deletes it, and a missing one is as good."""
    for name in ("repartitioned", "was_view", "codes"):
        operations = [step for step in plan_of(recorded, name).steps if not isinstance(step, Guard)]
        assert isinstance(operations[0], CallOperation)
        assert (operations[0].method, operations[0].missing_ok) == ("DELETE", True)
        assert operations[0].path == f"projects/writes-project/datasets/shop/tables/{name}"


def test_rows_read_while_compiling_are_guarded(recorded: Recorded) -> None:
    """Also those that an ephemeral model reads, for each model it is part of."""
    pivoted, below = plan_of(recorded, "pivoted"), plan_of(recorded, "below_thin")

    ordered, unordered = pivoted.steps[1], below.steps[1]

    assert isinstance(ordered, Guard)
    assert isinstance(unordered, Guard)
    assert (ordered.kind, ordered.expected, ordered.request["ordered"]) == (
        GuardKind.ROWS,
        [["click"], ["view"]],
        True,
    )
    assert (unordered.kind, unordered.request["ordered"]) == (GuardKind.ROWS, False)
    assert "thin" not in {plan.name for plan in recorded.plan.nodes.values()}


def test_a_snapshot_is_planned_by_foretelling_its_changes(recorded: Recorded) -> None:
    """The columns of its staging table come from a dry run and are looked at again once the table is there."""
    history = plan_of(recorded, "history")
    kinds = [
        step.kind.value if isinstance(step, (Guard, NativeOperation)) else step.purpose
        for step in history.steps
    ]

    # dbt 1.9 adds a snapshot's new columns to it also when there are none.
    assert history.level is (Level.NATIVE if "add_columns" in kinds else Level.GUARDED)
    assert kinds.index("create temporary table") < kinds.index("main") < kinds.index("drop")
    foretold = [step for step in history.steps if isinstance(step, Guard) and step.predicted]
    assert any("history__dbt_tmp" in guard.subject for guard in foretold)


def test_columns_are_described_once_the_table_is_there(recorded: Recorded) -> None:
    """Nothing has to be foretold of them: the executor reads the table, as dbt does."""
    plan = plan_of(recorded, "described_columns")
    said = {name: column["description"] for name, column in plan.steps[-1].payload["columns"].items()}  # type: ignore[union-attr]

    assert plan.level is Level.NATIVE
    assert plan.reason.endswith("it describes the columns that its table has by then.")
    # dbt-bigquery 1.9 does not look whether the table has them.
    adapter = recorded.recording["adapter_version"]
    assert plan.steps[-1].payload["checked"] is not adapter.startswith("1.9")  # type: ignore[union-attr]
    assert [type(step) for step in plan.steps[-2:]] == [JobOperation, NativeOperation]
    assert said == {
        "id": "The number.",
        "name": "Not called so in the table.",
        "address": "Where it is.",
        "address.city": "",
        "address.lines.text": "One line.",
        "gone": "No column.",
    }
    # Real dbt has sent what the plan makes of it, see above.
    assert any(request.operation == "tables.patch" and "schema" in request.json for request in recorded.built)


def test_hooks_keep_their_place(recorded: Recorded) -> None:
    """Before and after the main statement, in the order of the config."""
    purposes = [step.purpose for step in plan_of(recorded, "hooked").steps if isinstance(step, JobOperation)]

    assert purposes == ["pre-hook", "main", "post-hook", "post-hook"]


def test_a_tests_query_is_its_outcome(recorded: Recorded) -> None:
    """Also where the failures are stored first."""
    unique = next(plan for plan in recorded.plan.nodes.values() if plan.name.startswith("unique_merged"))

    assert unique.test is not None
    assert unique.test.severity == "WARN"
    assert [step.purpose for step in unique.steps if not isinstance(step, Guard)] == [
        "drop",
        "create table",
        "test",
    ]
    last = unique.steps[-1]
    assert isinstance(last, JobOperation)
    assert last.rows
    assert last.main
    assert recorded.plan.owners[unique.unique_id] == "model.writes.merged"


def test_a_seeds_bytes_are_kept(recorded: Recorded) -> None:
    """The load job's upload is the file as it is, called by its digest."""
    codes = plan_of(recorded, "codes")
    content = (PROJECT / "seeds" / "codes.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()

    load = next(step for step in codes.steps if isinstance(step, JobOperation))

    assert load.upload_digest == digest
    assert recorded.plan.uploads[digest].read_bytes() == content
    assert codes.message == "INSERT 2"


def test_run_hooks_are_the_prelude(recorded: Recorded) -> None:
    """on-run-start is done once before all nodes; on-run-end waits for results."""
    assert [step.shared for step in recorded.plan.prelude if isinstance(step, JobOperation)] == [
        "on_run_start:0.0"
    ]
    assert recorded.recording["run"]["on_run_end"] == 1


def test_progress_is_told_beside_dbt_s_own_lines(recorded: Recorded) -> None:
    """The last line of ours counts all nodes."""
    counted = re.findall(
        r"^\[cosmos-async\] planned (\d+) of (\d+) nodes$", recorded.ended.output, re.MULTILINE
    )

    assert counted[-1][0] == counted[-1][1] == str(len(recorded.plan.nodes))
    assert "PRIVATE KEY" not in recorded.ended.output


def test_dbt_does_not_say_that_it_has_done_what_is_only_planned(recorded: Recorded) -> None:
    """Nothing begins, is created, loaded or passed while setup runs, and no run has completed; what dbt has found is told."""
    said = recorded.ended.output

    assert re.search(r"\b(START|OK|PASS|Finished running|Completed|Done)\b", said) is None
    assert re.search(r"\bFound \d+ models\b", said)


def test_nothing_is_sent_to_where_dbt_alone_would_go(recorded: Recorded) -> None:
    """The plan's endpoint is nobody's who only serves to stop a dbt without its recorder."""
    assert NOWHERE not in json.dumps(recorded.recording)


@pytest.mark.parametrize("version", [NEWEST, "1.9"])
async def test_tables_views_and_seeds_are_described_on_a_first_run(version: str, tmp_path: Path) -> None:
    """The columns of none of them are known while planning: the warehouse is empty."""
    async with FakeGoogle(project_id="kitchen-project") as google:
        recorded = await record(
            google,
            version,
            tmp_path,
            project=PROJECT.with_name("kitchen"),
            KITCHEN_CLIENT_EMAIL=google.key_file["client_email"],
            KITCHEN_TOKEN_URI=google.key_file["token_uri"],
            DBT_ENV_SECRET_KITCHEN_PRIVATE_KEY=google.key_file["private_key"],
        )

    native = {
        plan.name: plan.resource_type + " " + str(plan.materialized)
        for plan in recorded.plan.nodes.values()
        if plan.level is Level.NATIVE
    }
    assert native == {"customers": "model table", "stg_customers": "model view", "raw_orders": "seed seed"}
    assert recorded.mutations == []


async def start(version: str, folder: Path, *more: str, **env: str) -> Ended:
    """Run the recorder where no warehouse is."""
    out = folder / "recording.json"
    ended = await run(
        [dbt_python(version), *RECORDER, "--out", out, "--", *arguments(folder, *more)],
        env=clean_environment(BIGQUERY_EMULATOR_HOST=NOWHERE, **env),
        cwd=folder,
    )
    assert not out.exists()
    return ended


@pytest.mark.parametrize("version", [NEWEST, "1.9"])
async def test_a_profile_that_is_wrong_is_told_in_dbt_s_words(version: str, tmp_path: Path) -> None:
    """dbt could not run at all, so there is no recording."""
    ended = await start(version, tmp_path)

    assert ended.exit_code == 2
    assert "Env var required but not provided: 'WRITES_KEY_FILE'" in ended.output


async def test_an_adapter_of_another_major_version_is_refused(tmp_path: Path) -> None:
    """Before dbt is even imported."""
    metadata = tmp_path / "site" / "dbt_bigquery-2.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: dbt-bigquery\nVersion: 2.0.0\n")

    ended = await start(NEWEST, tmp_path, PYTHONPATH=str(metadata.parents[1]))

    assert ended.exit_code == 3
    assert "dbt-bigquery 2.0.0 is dbt 2, which has no Python" in ended.output


@pytest.mark.parametrize("version", [NEWEST, "1.9"])
async def test_what_dbt_does_not_need_can_be_imported_later(version: str, tmp_path: Path) -> None:
    """Google's client begins without pandas, and a plugin of the user's still finds it."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'cosmos_async/dbt/scripts')!r})\n"
        "import common; common.import_client()\n"
        "import google.cloud.bigquery\n"
        "assert 'pandas' not in sys.modules\n"
        "import pandas, pyarrow; print(pandas.DataFrame.__name__)"
    )

    ended = await run([dbt_python(version), "-c", script], env=clean_environment(), cwd=tmp_path)

    assert (ended.exit_code, ended.output.strip()) == (0, "DataFrame")


async def test_the_user_s_modules_do_not_meet_ours(tmp_path: Path) -> None:
    """A file of the project called like one of ours is neither shadowed by it nor loaded instead of it."""
    (tmp_path / "sql.py").write_text("raise RuntimeError('the user s own sql.py')")

    ended = await start(NEWEST, tmp_path, PYTHONPATH=str(tmp_path))

    assert "the user s own sql.py" not in ended.output
    assert ended.exit_code == 2
