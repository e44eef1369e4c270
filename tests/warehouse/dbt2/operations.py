"""
What dbt's own driver does beyond Apache's: labels of a job, loading a file, copying a table, descriptions, authorized views.

Apache's driver sends a query for each statement; the wrapper writes what else dbt asked for behind the SQL
(``/*adbc-bench key=hexadecimal …*/``). Labels are put where they belong. In place of a statement that is none the
requests are sent that Google's Go client makes for it, and the query is answered as one without rows.
The requests are ours, after the driver's source (dbt-labs/arrow-adbc, go/adbc/driver/bigquery/statement.go).
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pyarrow
from aiohttp import web

Json = dict[str, Any]
_OPTIONS = re.compile(r"/\*adbc-bench((?: [\w.]+=[0-9a-f]*)*)\*/\Z")
PREFIX = "adbc.bigquery."
NO_RESULT = "_no_result"  # the dataset of results of what is no query
LABELS = "sql.query.labels"
POLL_SECONDS = 0.1


class OperationError(Exception):
    """BigQuery's refusal, to be passed on."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def options_of(job: Json) -> tuple[Json, dict[str, bytes]]:
    """Return a job as dbt's own driver would submit it, and the options that stood behind its SQL."""
    query = job.get("configuration", {}).get("query", {})
    match = _OPTIONS.search(query.get("query", ""))
    if match is None:
        return job, {}
    query["query"] = query["query"][: match.start()]
    options: dict[str, bytes] = {}
    for each in match[1].split():
        key, _, value = each.partition("=")
        options[key[len(PREFIX) :]] = bytes.fromhex(value)
    labels = json.loads(options.get(LABELS, b"{}"))
    if labels:
        job["configuration"]["labels"] = labels
    return job, options


class Operations:
    """
    Carries out what one endpoint is asked for.

    Args:
        session: For the requests.
        endpoint: The root of BigQuery's REST API, without a slash at its end.
    """

    def __init__(self, session: aiohttp.ClientSession, endpoint: str) -> None:
        self._session = session
        self._endpoint = endpoint
        self._done: dict[str, Json] = {}  # queries that are answered here, by job id

    async def answer(self, request: web.Request) -> web.Response | None:
        """Answer a request about one of our own queries; None for any other."""
        if request.method == "GET" and f"/datasets/{NO_RESULT}/" in request.path:
            return web.json_response({"schema": {"fields": [{"name": "nothing", "type": "STRING"}]}})
        job = self._done.get(request.path.rpartition("/")[2])
        if job is None or request.method != "GET":
            return None
        if "/queries/" in request.path:
            job = {"jobReference": job["jobReference"], "jobComplete": True, "totalRows": "0", "schema": {}}
        return web.json_response(job)

    async def carry_out(
        self, request: web.Request, job: Json, options: dict[str, bytes]
    ) -> web.Response | None:
        """Do what a statement's options ask for, and answer its query; None where the query is to be sent."""
        token = {"Authorization": request.headers["Authorization"]}
        reference, query = job["jobReference"], job["configuration"]["query"]
        try:
            if "ingest.csv_filepath" in options:
                await self._load(token, reference, query["destinationTable"], options)
            elif "copy_table.source" in options:
                await self._copy(token, reference, options)
            elif "table.update_columns_description" in options:
                await self._describe_columns(token, query["destinationTable"], options)
            elif "table.update_description" in options:
                change = {"description": options["table.update_description"].decode()}
                await self._call("PATCH", _table(query["destinationTable"]), token, change)
            elif "dataset.authorize_view_to_datasets" in options:
                await self._authorize(token, json.loads(options["dataset.authorize_view_to_datasets"]))
            else:
                return None
        except OperationError as error:
            return web.json_response(error.body, status=error.status)
        # Apache's driver reads the table of a result, which dbt's own driver does not: there is none.
        nowhere = {"projectId": reference["projectId"], "datasetId": NO_RESULT, "tableId": "nothing"}
        job = {**job, "configuration": {"query": {**query, "destinationTable": nowhere}}}
        done = {**job, "status": {"state": "DONE"}, "statistics": {"query": {"statementType": "SELECT"}}}
        self._done[reference["jobId"]] = done
        return web.json_response(done)

    async def _load(self, token: Json, reference: Json, table: Json, options: dict[str, bytes]) -> None:
        schema = pyarrow.ipc.open_stream(options["ingest.csv_schema"]).schema
        load = {
            "destinationTable": table,
            "fieldDelimiter": options["ingest.csv_delimiter"].decode(),
            "schema": {"fields": [_field(field) for field in schema]},
            "skipLeadingRows": 1,
            "sourceFormat": "CSV",
        }
        path = f"/upload/bigquery/v2/projects/{reference['projectId']}/jobs?alt=json&prettyPrint=false&uploadType=multipart"
        job = _job(reference, {"load": load})
        with aiohttp.MultipartWriter("related") as parts:
            parts.append_json(job)
            parts.append(_content(options), {"Content-Type": "text/plain; charset=utf-8"})
        await self._wait(token, await self._call("POST", path, token, parts))

    async def _copy(self, token: Json, reference: Json, options: dict[str, bytes]) -> None:
        copy = {
            "sourceTables": [_reference(options["copy_table.source"].decode())],
            "destinationTable": _reference(options["copy_table.destination"].decode()),
            "writeDisposition": options["copy_table.write_disposition"].decode(),
        }
        path = f"/bigquery/v2/projects/{reference['projectId']}/jobs?alt=json&prettyPrint=false"
        await self._wait(token, await self._call("POST", path, token, _job(reference, {"copy": copy})))

    async def _describe_columns(self, token: Json, table: Json, options: dict[str, bytes]) -> None:
        descriptions = json.loads(options["table.update_columns_description"])
        tags = json.loads(options.get("table.update_columns_policy_tags", b"{}"))
        resource = await self._call("GET", _table(table), token)
        fields = []
        for field in resource["schema"]["fields"]:
            # The driver makes each column anew, of these.
            field = {
                key: field[key] for key in ("name", "type", "mode", "description", "fields") if field.get(key)
            }
            field["description"] = descriptions.get(field["name"], field.get("description", ""))
            if not field["description"]:
                del field["description"]
            if field["name"] in tags:
                field["policyTags"] = {"names": tags[field["name"]]}
            fields.append(field)
        etag = {"If-Match": resource["etag"]} if resource.get("etag") else {}
        await self._call("PATCH", _table(table), {**token, **etag}, {"schema": {"fields": fields}})

    async def _authorize(self, token: Json, views: dict[str, list[Json]]) -> None:
        for view, datasets in views.items():
            entry = {"view": _reference(view)}
            for dataset in datasets:
                path = f"/bigquery/v2/projects/{dataset['project']}/datasets/{dataset['dataset']}"
                resource = await self._call("GET", path, token)
                if entry not in resource.get("access", []):
                    access = [*resource.get("access", []), entry]
                    etag = {"If-Match": resource["etag"]}
                    await self._call("PATCH", path, {**token, **etag}, {"access": access})

    async def _wait(self, token: Json, job: Json) -> None:
        reference = job["jobReference"]
        path = f"/bigquery/v2/projects/{reference['projectId']}/jobs/{reference['jobId']}?alt=json"
        if reference.get("location"):
            path += f"&location={reference['location']}"
        while job["status"]["state"] != "DONE":
            await asyncio.sleep(POLL_SECONDS)
            job = await self._call("GET", path, token)
        failure = job["status"].get("errorResult")
        if failure:
            raise OperationError(
                400, {"error": {"code": 400, "message": failure["message"], "errors": [failure]}}
            )

    async def _call(self, method: str, path: str, headers: Json, body: Any = None) -> Json:
        sent = {"data": body} if isinstance(body, aiohttp.MultipartWriter) else {"json": body}
        headers = {**headers, "User-Agent": "adbc-bench"}
        # An upload's path takes the place of all that the endpoint has behind its host (googleapi.ResolveRelative).
        url = urljoin(self._endpoint, path) if path.startswith("/upload/") else self._endpoint + path
        async with self._session.request(method, url, headers=headers, **sent) as answer:
            text = await answer.text()
            found: Json = json.loads(text) if text else {}
            if answer.status >= 400:
                raise OperationError(answer.status, found)
            return found


def _content(options: dict[str, bytes]) -> bytes:
    return Path(options["ingest.csv_filepath"].decode()).read_bytes()


def _job(reference: Json, configuration: Json) -> Json:
    return {"jobReference": {**reference, "jobId": f"job_{uuid.uuid4().hex}"}, "configuration": configuration}


def _reference(name: str) -> Json:
    return dict(zip(("projectId", "datasetId", "tableId"), name.replace("`", "").split(".")))


def _table(reference: Json) -> str:
    path = f"/bigquery/v2/projects/{reference['projectId']}/datasets/{reference['datasetId']}"
    return f"{path}/tables/{reference['tableId']}?alt=json"


def _field(field: pyarrow.Field) -> Json:
    """Return the column of BigQuery for a field of Arrow, whose type may be named (a seed's `column_types`)."""
    named = (field.metadata or {}).get(b"BIGQUERY:type")
    if named:
        return {"name": field.name, "type": named.decode().upper()}
    kinds = pyarrow.types
    for test, name in (
        (kinds.is_boolean, "BOOLEAN"),
        (kinds.is_integer, "INTEGER"),
        (kinds.is_floating, "FLOAT"),
        (kinds.is_date, "DATE"),
        (kinds.is_time, "TIME"),
        (kinds.is_decimal128, "NUMERIC"),
        (kinds.is_decimal256, "BIGNUMERIC"),
        (kinds.is_binary, "BYTES"),
    ):
        if test(field.type):
            return {"name": field.name, "type": name}
    if kinds.is_timestamp(field.type):
        return {"name": field.name, "type": "TIMESTAMP" if field.type.tz else "DATETIME"}
    return {"name": field.name, "type": "STRING"}
