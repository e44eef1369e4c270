"""
The warehouse for tests: started once per session in a process of its own, and looked into.

A test module or conftest takes the fixture over with `from tests.warehouse.fixture import warehouse`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.warehouse.child import ROOT

Json = dict[str, Any]
SCOPE = "https://www.googleapis.com/auth/bigquery"
TOKEN_LASTS = 3600  # seconds
#: A bucket that the fixture's warehouse has.
BUCKET = "plans"
#: Columns that hold the time of a run: values differ between two equal builds.
TIMES_OF_A_RUN = ("dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_scd_id")


@dataclass
class Warehouse:
    """A running warehouse, and eyes to see what is in it."""

    endpoint: str  #: of BigQuery and Cloud Storage, such as "http://127.0.0.1:4711"
    token_uri: str
    project: str
    key: Json  #: the content of the service account's key file
    key_file: Path
    pid: int  #: of the process that answers
    emulator_pid: int  #: of its child, which has the tables
    window: str = ""  #: where its log of requests can be read
    storage: int | None = None  #: the port of the Storage API (gRPC), where it is served
    _token: str = field(default="", repr=False)
    _renew_at: float = 0.0  # on the monotonic clock

    @property
    def dbt_environment(self) -> dict[str, str]:
        """The variables that `tests/projects/*/profiles.yml` and Google's client read."""
        return {
            "BIGQUERY_EMULATOR_HOST": self.endpoint,
            "KITCHEN_PROJECT": self.project,
            "KITCHEN_CLIENT_EMAIL": self.key["client_email"],
            "KITCHEN_PRIVATE_KEY_ID": self.key["private_key_id"],
            "KITCHEN_TOKEN_URI": self.token_uri,
            "DBT_ENV_SECRET_KITCHEN_PRIVATE_KEY": self.key["private_key"],
        }

    def query(self, sql: str) -> list[Json]:
        """Run *sql* and return its rows."""
        exact = {"useInt64Timestamp": True}
        body = {"query": sql, "useLegacySql": False, "timeoutMs": 120_000, "formatOptions": exact}
        answer = self.call("POST", f"projects/{self.project}/queries", body)
        if not answer["jobComplete"]:
            raise TimeoutError(f"still running after two minutes: {sql}")
        return [_row(answer["schema"]["fields"], row) for row in answer.get("rows", ())]

    def jobs(self) -> list[Json]:
        """Return every job so far, newest first."""
        found: list[Json] = []
        token = ""
        while True:
            query = urllib.parse.urlencode({"maxResults": 1000, "projection": "full", "pageToken": token})
            answer = self.call("GET", f"projects/{self.project}/jobs?{query}")
            found += answer.get("jobs", ())
            token = answer.get("nextPageToken", "")
            if not token:
                return found

    def datasets(self) -> list[str]:
        """Return the names of the datasets."""
        answer = self.call("GET", f"projects/{self.project}/datasets?maxResults=1000")
        return sorted(each["datasetReference"]["datasetId"] for each in answer.get("datasets", ()))

    def table(self, dataset: str, name: str) -> Json:
        """Return a table's resource."""
        return self.call("GET", self._path(dataset, name))

    def rows(self, dataset: str, name: str, table: Json) -> list[Json]:
        """Return the rows of a relation, whose resource *table* is."""
        if table["type"] != "TABLE":
            return self.query(f"select * from `{self.project}`.`{dataset}`.`{name}`")
        path = self._path(dataset, name)
        answer = self.call("GET", f"{path}/data?maxResults=50000&formatOptions.useInt64Timestamp=true")
        return [_row(table["schema"]["fields"], row) for row in answer.get("rows", ())]

    def dump(self, dataset: str, *, without: Sequence[str] = ()) -> dict[str, Json]:
        """
        Return everything in *dataset*, by relation: what a user could tell from looking at it.

        Args:
            dataset: Its name.
            without: Columns whose values are left out of the rows, such as `TIMES_OF_A_RUN`.
        """
        listed = self.call("GET", f"projects/{self.project}/datasets/{dataset}/tables?maxResults=10000")
        names = sorted(each["tableReference"]["tableId"] for each in listed.get("tables", ()))
        return {name: self._relation(dataset, name, without) for name in names}

    def dump_all(self, prefix: str, *, without: Sequence[str] = ()) -> dict[str, Json]:
        """
        Return everything in the dataset *prefix* and in those that begin with *prefix*_, as dbt names them.

        The keys are like "customers" and "marts.customers", and the prefix is taken out of the views' texts: dumps of
        two builds with different prefixes can be compared.
        """
        found: dict[str, Json] = {}
        for dataset in self.datasets():
            if dataset != prefix and not dataset.startswith(f"{prefix}_"):
                continue
            room = dataset[len(prefix) + 1 :]
            for name, relation in self.dump(dataset, without=without).items():
                if relation["view"]:
                    of_prefix = rf"(?<=[.`]){re.escape(prefix)}(?=(_\w+)?`?\.)"
                    relation["view"] = re.sub(of_prefix, "<prefix>", relation["view"])
                found[f"{room}.{name}" if room else name] = relation
        return found

    def drop_all(self, prefix: str) -> None:
        """Delete the dataset *prefix* and those that begin with *prefix*_."""
        for dataset in self.datasets():
            if dataset == prefix or dataset.startswith(f"{prefix}_"):
                self.call("DELETE", f"projects/{self.project}/datasets/{dataset}?deleteContents=true")

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send one request below /bigquery/v2 and return the answer."""
        request = urllib.request.Request(
            f"{self.endpoint}/bigquery/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=150) as response:
                raw = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        answer: Json = json.loads(raw) if raw else {}
        return answer

    def asked(self, since: int = 0) -> tuple[int, list[Json]]:
        """Return how many requests there have been, and those after the first *since* that could change something."""
        with urllib.request.urlopen(f"{self.window}/requests?since={since}", timeout=30) as response:
            answer: Json = json.loads(response.read())
        return answer["next"], answer["requests"]

    def token(self) -> str:
        """Return a bearer token of the warehouse's service account."""
        if time.monotonic() >= self._renew_at:
            now = int(time.time())
            claims = {
                "iss": self.key["client_email"],
                "aud": self.token_uri,
                "iat": now,
                "exp": now + TOKEN_LASTS,
            }
            assertion = jwt.encode({**claims, "scope": SCOPE}, self.key["private_key"], algorithm="RS256")
            grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
            form = urllib.parse.urlencode(grant).encode()
            with urllib.request.urlopen(self.token_uri, data=form, timeout=30) as response:
                self._token = json.loads(response.read())["access_token"]
            self._renew_at = time.monotonic() + TOKEN_LASTS / 2
        return self._token

    def _path(self, dataset: str, name: str) -> str:
        # A table's name may have spaces and letters of any alphabet.
        return f"projects/{self.project}/datasets/{dataset}/tables/{urllib.parse.quote(name, safe='')}"

    def _relation(self, dataset: str, name: str, without: Sequence[str]) -> Json:
        table = self.table(dataset, name)
        fields = table.get("schema", {}).get("fields", [])
        rows = self.rows(dataset, name, table) if fields else []
        kept = [{key: value for key, value in row.items() if key not in without} for row in rows]
        return {
            "type": table["type"],
            "columns": [_column(each) for each in fields],
            "description": table.get("description", ""),
            "labels": table.get("labels", {}),
            "partitioning": table.get("timePartitioning") or table.get("rangePartitioning"),
            "clustering": table.get("clustering", {}).get("fields", []),
            "view": table.get("view", {}).get("query"),
            "rows": sorted(kept, key=lambda row: json.dumps(row, sort_keys=True)),
        }


@contextlib.contextmanager
def running_warehouse(directory: Path, *options: str) -> Iterator[Warehouse]:
    """Start a warehouse that keeps its data in *directory*, and stop it at the end."""
    key_file = directory / "key.json"
    command = [sys.executable, "-m", "tests.warehouse", "--end-with-parent"]
    command += ["--data-dir", str(directory), "--key-file", str(key_file), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the warehouse did not start (status {process.wait()})")
        ready: Json = json.loads(line)
        yield Warehouse(
            endpoint=ready["endpoint"],
            token_uri=ready["token_uri"],
            project=ready["project"],
            key=json.loads(key_file.read_text()),
            key_file=key_file,
            pid=process.pid,
            emulator_pid=ready["emulator_pid"],
            window=ready["window"],
            storage=ready["storage"],
        )
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse for the whole session; tests use datasets of their own."""
    with running_warehouse(tmp_path_factory.mktemp("warehouse"), "--bucket", BUCKET) as running:
        yield running


def _column(column: Json) -> Json:
    described = {
        "name": column["name"],
        "type": column["type"],
        "mode": column.get("mode", "NULLABLE"),
        "description": column.get("description", ""),
    }
    if column.get("fields"):  # BigQuery tells of none that are not there, even if they were written
        described["fields"] = [_column(each) for each in column["fields"]]
    return described


def _row(fields: Sequence[Json], row: Json) -> Json:
    return {each["name"]: _value(each, cell["v"]) for each, cell in zip(fields, row["f"])}


def _value(column: Json, value: Any) -> Any:
    if value is None:
        return None
    if column.get("mode") == "REPEATED":
        return [_value({**column, "mode": "NULLABLE"}, item["v"]) for item in value]
    if column["type"] in ("RECORD", "STRUCT"):
        return _row(column["fields"], value)
    return value
