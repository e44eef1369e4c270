"""
BigQuery's metadata routes: datasets, tables, the rows of a table, routines.

A `Catalog` knows them; here are paths, pages, etags and preconditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiohttp import web

from cosmos_async.testing.answers import etag, integer, json_answer, json_body, page
from cosmos_async.testing.engine import ApiError, Catalog, Json
from cosmos_async.testing.routes import Route
from cosmos_async.testing.rows import float_timestamps

DATASETS = "/bigquery/v2/projects/{project}/datasets"
DATASET = DATASETS + "/{dataset}"
TABLES = DATASET + "/tables"
TABLE = TABLES + "/{table}"
ROUTINES = DATASET + "/routines"
USUAL_PAGE = 50
ROWS_PER_PAGE = 50_000
#: What an entry of tables.list tells about a table.
TABLE_ENTRY = (
    "kind", "id", "tableReference", "friendlyName", "type", "timePartitioning", "rangePartitioning", "clustering",
    "labels", "view", "creationTime", "expirationTime",
)  # fmt: skip
DATASET_ENTRY = ("kind", "id", "datasetReference", "labels", "friendlyName", "location")


class MetadataApi:
    """The HTTP face of a `Catalog`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def routes(self) -> Iterable[Route]:
        """Return the routes by their operation."""
        yield Route("GET", "/bigquery/v2/projects", "projects.list", self.projects)
        yield Route("GET", DATASETS, "datasets.list", self.list_datasets)
        yield Route("POST", DATASETS, "datasets.insert", self.insert_dataset)
        yield Route("GET", DATASET, "datasets.get", self.get_dataset)
        yield Route("PATCH", DATASET, "datasets.patch", self.patch_dataset)
        yield Route("PUT", DATASET, "datasets.update", self.patch_dataset)
        yield Route("DELETE", DATASET, "datasets.delete", self.delete_dataset)
        yield Route("GET", TABLES, "tables.list", self.list_tables)
        yield Route("POST", TABLES, "tables.insert", self.insert_table)
        yield Route("GET", TABLE, "tables.get", self.get_table)
        yield Route("PATCH", TABLE, "tables.patch", self.patch_table)
        yield Route("PUT", TABLE, "tables.update", self.patch_table)
        yield Route("DELETE", TABLE, "tables.delete", self.delete_table)
        yield Route("GET", TABLE + "/data", "tabledata.list", self.list_rows)
        yield Route("GET", ROUTINES, "routines.list", self.list_routines)

    async def projects(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer projects.list: the caller's own."""
        project = caller.partition("@")[2].partition(".")[0]
        return json_answer(
            {
                "kind": "bigquery#projectList",
                "projects": [{"id": project, "projectReference": {"projectId": project}}],
                "totalItems": 1,
            }
        )

    async def list_datasets(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer datasets.list."""
        datasets = await self._catalog.list_datasets(request.match_info["project"])
        entries = [_entry(_dataset(dataset), DATASET_ENTRY) for dataset in datasets]
        return _list_answer(request, "datasets", entries, kind="bigquery#datasetList")

    async def get_dataset(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer datasets.get."""
        return json_answer(_dataset(await self._catalog.get_dataset(*_dataset_path(request))))

    async def insert_dataset(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer datasets.insert."""
        body = await json_body(request)
        if not body.get("datasetReference", {}).get("datasetId"):
            raise ApiError(400, "required", "Required parameter is missing: datasetReference.datasetId")
        return json_answer(_dataset(await self._catalog.insert_dataset(request.match_info["project"], body)))

    async def patch_dataset(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer datasets.patch and datasets.update."""
        path = _dataset_path(request)
        if "If-Match" in request.headers:
            _check_etag(request, _dataset(await self._catalog.get_dataset(*path)))
        body = await json_body(request)
        changed = await self._catalog.patch_dataset(*path, body, replace=request.method == "PUT")
        return json_answer(_dataset(changed))

    async def delete_dataset(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer datasets.delete."""
        contents = request.query.get("deleteContents", "").lower() == "true"
        await self._catalog.delete_dataset(*_dataset_path(request), delete_contents=contents)
        return web.Response(status=204)

    async def list_tables(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tables.list."""
        tables = await self._catalog.list_tables(*_dataset_path(request))
        entries = [_entry(_table(table), TABLE_ENTRY) for table in tables]
        return _list_answer(request, "tables", entries, kind="bigquery#tableList")

    async def get_table(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tables.get."""
        return json_answer(_table(await self._catalog.get_table(*_table_path(request))))

    async def insert_table(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tables.insert."""
        body = await json_body(request)
        if not body.get("tableReference", {}).get("tableId"):
            raise ApiError(400, "required", "Required parameter is missing: tableReference.tableId")
        return json_answer(_table(await self._catalog.insert_table(*_dataset_path(request), body)))

    async def patch_table(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tables.patch and tables.update."""
        path = _table_path(request)
        if "If-Match" in request.headers:
            _check_etag(request, _table(await self._catalog.get_table(*path)))
        body = await json_body(request)
        changed = await self._catalog.patch_table(*path, body, replace=request.method == "PUT")
        return json_answer(_table(changed))

    async def delete_table(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tables.delete."""
        await self._catalog.delete_table(*_table_path(request))
        return web.Response(status=204)

    async def list_rows(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer tabledata.list."""
        path = _table_path(request)
        table = await self._catalog.get_table(*path)
        rows = await self._catalog.list_rows(*path)
        start = integer(request, "startIndex", 0)
        size = integer(request, "maxResults", ROWS_PER_PAGE)
        cut, token = page(rows[start:], size=size or ROWS_PER_PAGE, token=request.query.get("pageToken"))
        if request.query.get("formatOptions.useInt64Timestamp", "").lower() != "true":
            cut = float_timestamps(table.get("schema", {}).get("fields", ()), cut)
        body: Json = {"kind": "bigquery#tableDataList", "totalRows": str(len(rows)), "rows": list(cut)}
        body["etag"] = etag(body)
        if token:
            body["pageToken"] = token
        return json_answer(body)

    async def list_routines(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer routines.list."""
        routines = await self._catalog.list_routines(*_dataset_path(request))
        return _list_answer(request, "routines", list(routines), kind=None)


def _dataset_path(request: web.Request) -> tuple[str, str]:
    return request.match_info["project"], request.match_info["dataset"]


def _table_path(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["project"], request.match_info["dataset"], request.match_info["table"]


def _dataset(resource: Json) -> Json:
    reference = resource["datasetReference"]
    path = f"projects/{reference['projectId']}/datasets/{reference['datasetId']}"
    return _complete(resource, "dataset", f"{reference['projectId']}:{reference['datasetId']}", path)


def _table(resource: Json) -> Json:
    reference = resource["tableReference"]
    project, dataset, table = (reference[key] for key in ("projectId", "datasetId", "tableId"))
    path = f"projects/{project}/datasets/{dataset}/tables/{table}"
    return _complete(resource, "table", f"{project}:{dataset}.{table}", path)


def _complete(resource: Json, kind: str, full_id: str, path: str) -> Json:
    added = {
        "kind": f"bigquery#{kind}",
        "id": full_id,
        "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/{path}",
    }
    complete = {**added, **resource}
    complete.setdefault("etag", etag(resource))
    return complete


def _entry(resource: Json, keys: Sequence[str]) -> Json:
    entry = {key: resource[key] for key in keys if key in resource}
    if "view" in entry:
        entry["view"] = {"useLegacySql": entry["view"].get("useLegacySql", False)}
    return entry


def _check_etag(request: web.Request, current: Json) -> None:
    wanted = request.headers.get("If-Match")
    if wanted not in (None, "*", current["etag"]):
        raise ApiError(412, "conditionNotMet", "Precondition check failed.", location="If-Match")


def _list_answer(
    request: web.Request, key: str, entries: Sequence[Json], *, kind: str | None
) -> web.Response:
    size = integer(request, "maxResults", USUAL_PAGE) or USUAL_PAGE
    cut, token = page(entries, size=size, token=request.query.get("pageToken"))
    body: Json = {"kind": kind} if kind else {}
    if cut:
        body[key] = list(cut)
    if key == "tables":
        body["totalItems"] = len(entries)
    if kind:
        body["etag"] = etag(body)
    if token:
        body["nextPageToken"] = token
    return json_answer(body)
