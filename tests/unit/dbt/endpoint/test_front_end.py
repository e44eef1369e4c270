"""What dbt 2's requests are taken for, and that nothing is sent which could change something."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.endpoint import end_hooks
from cosmos_async.dbt.endpoint import spans as module
from cosmos_async.dbt.endpoint.descriptions import MARK
from cosmos_async.dbt.endpoint.end_hooks import EndFrontEnd
from cosmos_async.dbt.endpoint.front_end import FrontEnd
from cosmos_async.dbt.endpoint.server import Refused
from cosmos_async.dbt.endpoint.spans import Spans
from cosmos_async.dbt.scripts.recording import answers
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.scripts.recording.journal import RUN

from .telemetry import Telemetry

ROOT = "http://bigquery"
MODEL, TEST = "model.p.a", "test.p.t"
COLUMNS = [{"name": name, "type": "INTEGER", "mode": "NULLABLE"} for name in ("x", "y")]


class Recorded:
    """A front end, the telemetry of its dbt, and what was sent to BigQuery."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FrontEnd] = FrontEnd
    ) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], Any] = {}
        self.telemetry = Telemetry(folder / "otel.jsonl")
        self.front = kind(str(folder / "uploads"), root=ROOT, project="p")
        self.front.spans = Spans(self.telemetry.path)
        self.front.builds({("p", "d", "a"): MODEL}, reads={MODEL: [], "model.p.b": [MODEL]}, unknown=[])
        self.front.overlay.project[("p", "d", "a")] = MODEL
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        monkeypatch.setattr(self.front.server, "send", self._send)
        # The core has been given what sends its own requests before.
        self.front.wire.ask_by(self._send, project="p", location=None)

    def _send(self, method: str, url: str, **kwargs: Any) -> Any:
        body = json.loads(kwargs["data"]) if kwargs.get("data") else None
        path = url[len(f"{ROOT}/bigquery/v2/") :].split("?")[0]
        self.sent.append((method, path, body))
        found = self.answers.get((method, path), {})
        return found if hasattr(found, "status_code") else answers.reply(found, url=url)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask as dbt does."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{ROOT}/bigquery/v2/{path}"
        return self.front.answer(Call(self._send, method, url, (), {"data": data, "headers": {}}))

    def submit(
        self, sql: str, *, node: str | None = None, job: str = "j", begun: bool = True, **span: Any
    ) -> Any:
        """Submit a query, which dbt's telemetry tells of."""
        if begun:
            more = {} if node is None else {"unique_id": node}
            self.telemetry.query(sql, **more, **span)
        query = {"query": sql, "useLegacySql": False}
        body = {
            "configuration": {"query": query},
            "jobReference": {"projectId": "p", "jobId": job, "location": "US"},
        }
        return self.ask("POST", "projects/p/jobs", body)

    @property
    def queries(self) -> list[str]:
        """The texts of the queries that were sent."""
        return [body["configuration"]["query"]["query"] for method, _, body in self.sent if method == "POST"]

    def events(self, node: str) -> list[tuple[Any, ...]]:
        """What was written down for a node."""
        return [
            (each["event"], each.get("kind") or each.get("path"))
            for each in self.front.journal.events.get(node, [])
        ]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "sql",
    [
        "create or replace table `p`.`d`.`a` as select 1",
        "drop table if exists `p`.`d`.`a`",
        "alter table `p`.`d`.`a` rename to b",
        "merge into `p`.`d`.`a` using x on false when not matched then insert row",
        "drop schema if exists `p`.`d` cascade",
        "declare x int64; insert into `p`.`d`.`a` values (1); select 1",
        "call p.d.procedure()",
    ],
)
def test_a_statement_that_changes_something_is_written_down_and_not_sent(
    recorded: Recorded, sql: str
) -> None:
    answer = recorded.submit(sql, node=MODEL)

    assert answer.json()["status"] == {"state": "DONE"}
    assert recorded.sent == []
    assert [event for event, _ in recorded.events(MODEL)] == ["job"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "projects/p/datasets/d/tables/a"),
        ("PATCH", "projects/p/datasets/d/tables/a"),
        ("PATCH", "projects/p/datasets/d"),
        ("POST", "projects/p/datasets"),
        ("POST", "projects/p/datasets/d/tables/a/insertAll"),
        ("PUT", "projects/p/datasets/d/routines/r"),
    ],
)
def test_a_request_that_changes_something_is_not_sent(recorded: Recorded, method: str, path: str) -> None:
    recorded.telemetry.node(MODEL)

    with suppress(Refused):
        recorded.ask(method, path, {"schema": {}})

    assert recorded.sent == []
    assert MODEL in recorded.front.journal.flags or recorded.events(MODEL)


def test_a_tests_query_is_written_down_and_a_row_that_passes_is_made(recorded: Recorded) -> None:
    recorded.submit(
        "select count(*) as failures from (select * from p.d.secret) dbt_internal_test", node=TEST
    )

    assert recorded.events(TEST) == [("job", "SELECT")]
    (sent,) = recorded.queries
    assert "secret" not in sent
    assert "cast('0' as INT64) as `failures`" in sent


def test_what_a_test_asks_while_it_is_rendered_is_sent(recorded: Recorded) -> None:
    recorded.submit("select max(x) from p.d.other", node=TEST)

    assert [event for event, _ in recorded.events(TEST)] == ["rows"]


def test_a_query_of_a_node_is_sent_and_its_rows_are_kept(recorded: Recorded) -> None:
    rows = {"jobComplete": True, "totalRows": "1", "rows": [{"f": [{"v": "7"}]}], "schema": {"fields": []}}
    recorded.answers["GET", "projects/p/queries/j"] = rows

    recorded.submit("select max(x) from p.d.other", node=MODEL)

    (event,) = recorded.front.journal.events[MODEL]
    assert (event["event"], event["total"], event["pages"]) == ("rows", 1, {"": rows["rows"]})


def test_a_query_about_what_the_run_builds_leaves_its_node_to_dbt(recorded: Recorded) -> None:
    with pytest.raises(Refused, match="depends on the rows of"):
        recorded.submit("select max(x) from p.d.a", node="model.p.b")

    assert recorded.sent == []
    assert "model.p.b" in recorded.front.journal.flags


def test_a_query_of_two_nodes_leaves_both_to_dbt(recorded: Recorded) -> None:
    recorded.telemetry.query("insert into p.d.x select 1", unique_id="model.p.b")

    with pytest.raises(Refused, match="not certain"):
        recorded.submit("insert into p.d.x select 1", node=MODEL)

    assert set(recorded.front.journal.flags) == {MODEL, "model.p.b"}
    assert recorded.sent == []


def test_a_query_that_dbt_has_not_told_of_is_not_sent(recorded: Recorded) -> None:
    with pytest.raises(Refused, match="not certain"):
        recorded.submit("select 1", begun=False)

    assert set(recorded.front.journal.flags) == {RUN}
    assert recorded.sent == []


def test_a_node_that_is_left_to_dbt_sends_no_more_jobs(recorded: Recorded) -> None:
    recorded.front.journal.flag(MODEL, "It is so.")

    with pytest.raises(Refused, match="It is so"):
        recorded.submit("select 1", node=MODEL)


def test_whoever_may_have_read_a_table_has_a_guard_for_it(recorded: Recorded) -> None:
    for node in (MODEL, "model.p.b"):
        recorded.telemetry.node(node)

    recorded.ask("GET", "projects/p/datasets/other/tables/t")

    assert recorded.events(MODEL) == recorded.events("model.p.b") == [("table", ["p", "other", "t"])]


def test_a_nodes_own_table_is_read_by_that_node(recorded: Recorded) -> None:
    for node in (MODEL, "model.p.b"):
        recorded.telemetry.node(node)

    recorded.ask("GET", "projects/p/datasets/d/tables/a")

    assert recorded.events(MODEL) == [("table", ["p", "d", "a"])]
    assert recorded.events("model.p.b") == []


def test_the_table_of_a_result_is_nobodys_read(recorded: Recorded) -> None:
    recorded.telemetry.node(MODEL)

    recorded.ask("GET", f"projects/p/datasets/_{'0a' * 20}/tables/anon")

    assert recorded.events(MODEL) == []


def test_a_dataset_of_the_users_may_begin_with_an_underscore(recorded: Recorded) -> None:
    """BigQuery hides it in its console, and dbt builds there."""
    recorded.telemetry.node(MODEL)

    recorded.ask("GET", "projects/p/datasets/_staging/tables/orders")

    assert [event for event, _ in recorded.events(MODEL)] == ["table"]


def test_a_listing_for_dbts_cache_is_the_runs(recorded: Recorded) -> None:
    recorded.answers["GET", "projects/p/datasets/d/tables"] = {
        "tables": [{"tableReference": {"tableId": "old"}, "type": "VIEW"}]
    }

    recorded.submit(
        "SELECT table_name FROM `p`.`d`.INFORMATION_SCHEMA.TABLES",
        node=MODEL,
        purpose="get_relation > list_relations call",
    )

    assert recorded.front.journal.listings == {"p.d": {"old": "VIEW"}}
    assert recorded.events(MODEL) == []


@pytest.mark.parametrize(("kind", "told"), [("TABLE", "BASE TABLE"), ("VIEW", "VIEW")])
def test_a_relation_that_the_run_has_made_is_there_for_dbt(recorded: Recorded, kind: str, told: str) -> None:
    recorded.front.overlay.note(("p", "d", "a"), by=MODEL, kind=kind)

    recorded.submit(
        "SELECT table_type FROM `p`.`d`.INFORMATION_SCHEMA.TABLES WHERE table_name = 'a';",
        node="model.p.b",
        purpose="get_relation adapter call",
    )

    assert recorded.events("model.p.b") == [("relation", ["p", "d", "a"])]
    (sent,) = recorded.queries
    assert f"cast('{told}' as STRING) as `table_type`" in sent


def test_a_dataset_is_made_once_for_all_nodes_there(recorded: Recorded) -> None:
    for job in ("one", "two"):
        recorded.telemetry.end(recorded.telemetry.query("create schema if not exists `p`.`new`"))
        recorded.submit("create schema if not exists `p`.`new`", job=job)

    assert len(recorded.front.journal.events[RUN]) == 1
    assert recorded.sent == []


def test_how_its_own_table_is_partitioned_is_not_foretold(recorded: Recorded) -> None:
    """Of any other table dbt asks for the columns alone."""
    recorded.front.overlay.note(("p", "d", "a"), by=MODEL, columns=COLUMNS)
    recorded.telemetry.node(MODEL)

    with pytest.raises(Refused, match="which it has written"):
        recorded.ask("GET", "projects/p/datasets/d/tables/a")

    assert recorded.sent == []


def test_columns_of_a_table_that_the_run_has_written_are_foretold(recorded: Recorded) -> None:
    """Such as those of the table in which a snapshot keeps its new data."""
    recorded.front.overlay.note(("p", "d", "a__dbt_tmp"), by=MODEL, columns=COLUMNS)
    recorded.telemetry.node(MODEL)

    answer = recorded.ask("GET", "projects/p/datasets/d/tables/a__dbt_tmp")

    assert answer.json()["schema"] == {"fields": COLUMNS}
    (event,) = recorded.front.journal.events[MODEL]
    assert (event["event"], event["predicted"]) == ("table", True)
    assert recorded.sent == []


SEED = "seed.p.s"


def upload(recorded: Recorded, table: str, way: str = "multipart") -> Any:
    """Upload a file to be loaded into a table of the dataset d."""
    load = {"destinationTable": {"projectId": "p", "datasetId": "d", "tableId": table}, "sourceFormat": "CSV"}
    body = json.dumps({"jobReference": {"projectId": "p", "jobId": "l"}, "configuration": {"load": load}})
    data = f"--b\r\nContent-Type: application/json\r\n\r\n{body}\r\n--b\r\n\r\nx\n1\n\r\n--b--\r\n"
    url = f"{ROOT}/upload/bigquery/v2/projects/p/jobs?uploadType={way}"
    whole = way == "multipart"
    sent = {
        "data": (data if whole else body).encode(),
        "headers": {"Content-Type": 'multipart/related; boundary="b"'},
    }
    return recorded.front.answer(Call(recorded._send, "POST", url, (), sent))


@pytest.fixture
def seeding(recorded: Recorded) -> Recorded:
    """Two seeds are at work."""
    recorded.front.builds({("p", "d", "s"): SEED, ("p", "d", "other"): "seed.p.other"}, reads={}, unknown=[])
    for seed in (SEED, "seed.p.other"):
        recorded.telemetry.node(seed)
    return recorded


def test_a_file_is_loaded_by_the_seed_that_builds_the_table(seeding: Recorded, tmp_path: Path) -> None:
    answer = upload(seeding, "s")

    assert answer.json()["status"] == {"state": "DONE"}
    (event,) = seeding.front.journal.events[SEED]
    assert (event["event"], event["kind"]) == ("job", "load")
    assert (tmp_path / "uploads" / event["upload"]).read_bytes() == b"x\n1\n"
    assert seeding.ask("GET", "projects/p/jobs/l").json()["status"] == {"state": "DONE"}
    assert seeding.sent == []


def test_a_file_for_another_table_is_nobodys(seeding: Recorded) -> None:
    with pytest.raises(Refused, match="not certain"):
        upload(seeding, "elsewhere")

    assert seeding.front.journal.events == {}
    assert seeding.sent == []


def test_a_file_in_pieces_leaves_its_seed_to_dbt(seeding: Recorded) -> None:
    """The address for the next piece would have to be ours."""
    with pytest.raises(Refused, match="larger"):
        upload(seeding, "s", "resumable")

    assert set(seeding.front.journal.flags) == {SEED}
    assert seeding.sent == []


NONE = "/* comment */\n\nnone"
TABLE = "projects/p/datasets/d/tables/a"


def described(recorded: Recorded, descriptions: dict[str, str]) -> Any:
    """Describe columns as dbt's driver does."""
    recorded.telemetry.query(NONE, unique_id=MODEL)
    fields = recorded.ask("GET", TABLE).json()["schema"]["fields"]
    for field in fields:
        field["description"] = descriptions.get(field["name"], field["description"])
        if not field["description"]:
            del field["description"]
    return recorded.ask("PATCH", TABLE, {"schema": {"fields": fields}})


def test_descriptions_of_columns_are_written_down(recorded: Recorded) -> None:
    """Of a table that the run makes, while others are at work as well."""
    recorded.front.overlay.note(("p", "d", "a"), by=MODEL, columns=COLUMNS)
    recorded.telemetry.node("model.p.b")

    described(recorded, {"x": "One.", "y": ""})

    looked, told = recorded.front.journal.events[MODEL]
    assert (looked["event"], looked["predicted"]) == ("table", True)
    assert (told["kind"], told["path"]) == ("update_columns", ["p", "d", "a"])
    assert told["payload"] == {
        "columns": {"x": {"description": "One."}},
        "checked": False,
        "keep_tags": True,
    }
    assert recorded.sent == []
    assert recorded.events("model.p.b") == []


def test_telemetry_that_is_late_is_waited_for(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt tells of what it does before it does it, but not always before its request has come."""
    recorded.front.overlay.note(("p", "d", "a"), by=MODEL, columns=COLUMNS)
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    monkeypatch.setattr(module.time, "sleep", lambda _: recorded.telemetry.query(NONE, unique_id=MODEL))

    answer = recorded.ask("GET", TABLE)

    assert {field["description"] for field in answer.json()["schema"]["fields"]} == {MARK}


def test_a_table_that_is_there_is_read_and_not_changed(recorded: Recorded) -> None:
    there = [{**COLUMNS[0], "description": "Old."}, {**COLUMNS[1], "description": "Old, too."}]
    recorded.answers["GET", TABLE] = {"type": "TABLE", "schema": {"fields": there}}

    described(recorded, {"x": "New."})

    assert recorded.front.journal.events[MODEL][1]["payload"]["columns"] == {"x": {"description": "New."}}
    assert [method for method, _, _ in recorded.sent] == ["GET"]


@pytest.mark.parametrize(
    ("more", "said"),
    [({"description": "Old."}, {"x": ""}), ({"policyTags": {"names": ["t"]}}, {}), ({"maxLength": "5"}, {})],
    ids=["taken away", "policy tags", "length"],
)
def test_what_the_driver_may_lose_of_a_column_leaves_the_node_to_dbt(
    recorded: Recorded, more: dict[str, Any], said: dict[str, str]
) -> None:
    there = [{**COLUMNS[0], **more}]
    recorded.answers["GET", TABLE] = {"type": "TABLE", "schema": {"fields": there}}

    with pytest.raises(Refused):
        described(recorded, said)

    assert set(recorded.front.journal.flags) == {MODEL}
    assert [method for method, _, _ in recorded.sent] == ["GET"]


def test_a_tables_description_is_written_down(recorded: Recorded) -> None:
    recorded.front.overlay.note(("p", "d", "a"), by=MODEL)
    recorded.telemetry.node("model.p.b")
    recorded.telemetry.query("", unique_id=MODEL, purpose="update_table_description adapter call")

    recorded.ask("GET", TABLE)
    recorded.ask("PATCH", TABLE, {"description": "Rows."})

    (event,) = recorded.front.journal.events[MODEL]
    assert (event["event"], event["method"], event["body"]) == ("call", "PATCH", {"description": "Rows."})
    assert recorded.sent == []


def test_a_unit_tests_query_is_written_down_and_rows_that_are_alike_are_made(recorded: Recorded) -> None:
    recorded.submit("select x, 'actual' as actual_or_expected from p.d.secret", node="unit_test.p.a.t")

    assert recorded.events("unit_test.p.a.t") == [("job", "SELECT")]
    (sent,) = recorded.queries
    assert "secret" not in sent


HOOK = "operation.p.p-on-run-end-0"
INSERT = "insert into d.log values (1)"


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """dbt that is run for its on-run-end hooks."""
    monkeypatch.setattr(end_hooks, "PATIENCE", 0.0)
    return Recorded(tmp_path, monkeypatch, EndFrontEnd)


def test_what_is_built_for_the_sake_of_hooks_is_not_sent(ending: Recorded) -> None:
    """Only the hooks' statements are, from when their phase has begun."""
    ending.submit("create or replace view d.a as select 1 as x", node=MODEL)
    with pytest.raises(Refused, match="Nothing is changed"):
        ending.ask("DELETE", "projects/p/datasets/d/tables/a")
    assert ending.queries == []

    ending.telemetry.begin("phase.PhaseExecuted", phase="EXECUTION_PHASE_ON_RUN_END")
    ending.submit(INSERT, node=HOOK, job="k")
    ending.ask("DELETE", "projects/p/datasets/d/tables/a")

    assert ending.queries == [INSERT]
    assert ending.sent[-1][0] == "DELETE"


def test_a_query_of_which_nothing_is_told_is_not_sent(ending: Recorded) -> None:
    """Nor is it lost in silence: whoever has sent it is told so."""
    with pytest.raises(Refused):
        ending.submit(INSERT, begun=False)

    assert ending.queries == []
