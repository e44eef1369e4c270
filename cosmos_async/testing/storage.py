"""
Cloud Storage's JSON API over an `ObjectStore`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from aiohttp import web

from cosmos_async.testing.answers import integer, json_answer, json_body, page_start, page_token
from cosmos_async.testing.batch import answer_batch
from cosmos_async.testing.engine import ApiError, Json
from cosmos_async.testing.objects import NOT_MET, Bucket, NotModified, ObjectStore, StoredObject
from cosmos_async.testing.routes import Handler, Route
from cosmos_async.testing.uploads import Upload, Uploads, multipart

BUCKETS = "/storage/v1/b"
BUCKET = BUCKETS + "/{bucket}"
OBJECTS = BUCKET + "/o"
#: Names with slashes arrive percent-encoded, in one segment.
OBJECT = OBJECTS + "/{object:[^/]+}"
TARGET = "/b/{to_bucket}/o/{to_object:[^/]+}"
UPLOAD = "/upload" + OBJECTS
BATCH = "/batch/storage/v1"
LARGEST_PAGE = 1000
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class StorageApi:
    """The HTTP face of an `ObjectStore`."""

    def __init__(self, store: ObjectStore, *, uploads: Uploads) -> None:
        self._store = store
        self._uploads = uploads

    def routes(self) -> Iterable[Route]:
        """Return the routes by their operation."""
        yield Route("GET", BUCKETS, "buckets.list", self.list_buckets)
        yield Route("GET", BUCKET, "buckets.get", self.get_bucket)
        yield Route("GET", BUCKET + "/iam/testPermissions", "buckets.testIamPermissions", self.permissions)
        yield Route("GET", OBJECTS, "objects.list", self.list)
        yield Route("GET", OBJECT, "objects.get", _conditional(self.get))
        yield Route("GET", "/download" + OBJECT, "objects.get", _conditional(self.download))
        yield Route("PATCH", OBJECT, "objects.patch", _conditional(self.patch))
        yield Route("DELETE", OBJECT, "objects.delete", _conditional(self.delete))
        yield Route("POST", OBJECT + "/rewriteTo" + TARGET, "objects.rewrite", _conditional(self.rewrite))
        yield Route("POST", OBJECT + "/copyTo" + TARGET, "objects.rewrite", _conditional(self.copy))
        yield Route("POST", BATCH, "objects.batch", self.batch)
        yield Route("POST", UPLOAD, "objects.insert", _conditional(self.insert))
        yield Route("PUT", UPLOAD, "uploads.continue", _conditional(self.proceed))

    async def list_buckets(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer buckets.list."""
        buckets = self._store.buckets(request.query.get("project", ""))
        items = [bucket.resource() for bucket in buckets]
        return json_answer({"kind": "storage#buckets", **({"items": items} if items else {})})

    async def get_bucket(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer buckets.get."""
        return json_answer(self._bucket(request, caller, "storage.buckets.get").resource())

    async def permissions(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer buckets.testIamPermissions: all that were asked for, or none in a forbidden bucket."""
        bucket = self._store.find(request.match_info["bucket"])
        granted = [] if bucket.forbidden else request.query.getall("permissions", [])
        body: Json = {"kind": "storage#testIamPermissionsResponse"}
        return json_answer({**body, "permissions": granted} if granted else body)

    async def list(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.list."""
        bucket = self._bucket(request, caller, "storage.objects.list")
        entries = _entries(bucket, request)
        size = min(integer(request, "maxResults", LARGEST_PAGE) or LARGEST_PAGE, LARGEST_PAGE)
        start = page_start(request.query.get("pageToken"))
        cut = entries[start : start + size]
        body: Json = {"kind": "storage#objects"}
        prefixes = [entry for entry in cut if isinstance(entry, str)]
        items = [entry.resource() for entry in cut if isinstance(entry, StoredObject)]
        if start + size < len(entries):
            body["nextPageToken"] = page_token(start + size)
        if prefixes:
            body["prefixes"] = prefixes
        if items:
            body["items"] = items
        return json_answer(body)

    async def get(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.get: the metadata, or with alt=media the content."""
        if request.query.get("alt") == "media":
            return await self.download(request, caller)
        bucket = self._bucket(request, caller, "storage.objects.get")
        return self._answer(request, self._store.read(bucket, request.match_info["object"], request.query))

    async def download(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer with an object's content."""
        bucket = self._bucket(request, caller, "storage.objects.get")
        stored = self._store.read(bucket, request.match_info["object"], request.query)
        headers = _headers(stored)
        content = stored.content
        if stored.gzipped and "gzip" not in request.headers.get("Accept-Encoding", ""):
            # Cloud Storage decompresses for readers that cannot; such answers know no ranges.
            headers["Warning"] = "214 UploadServer gunzipped"
            del headers["Content-Encoding"]
            return web.Response(body=stored.plain(), headers=headers)
        return _ranged(request, content, headers)

    async def insert(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.insert in its three forms."""
        bucket = self._bucket(request, caller, "storage.objects.create")

        async def finish(upload: Upload) -> web.StreamResponse:
            return self._written(request, bucket, upload)

        kind = request.query.get("uploadType")
        if kind == "resumable":
            return await self._uploads.begin(request, finish)
        if kind == "multipart":
            return await finish(await multipart(request))
        if kind == "media":
            return await finish(Upload({}, await request.read(), request.headers.get("Content-Type")))
        raise ApiError(400, "badRequest", f"Upload type {kind} is not supported.", location="uploadType")

    async def proceed(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer a piece of a resumable upload."""
        return await self._uploads.proceed(request)

    async def patch(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.patch."""
        bucket = self._bucket(request, caller, "storage.objects.update")
        body = await json_body(request)
        stored = self._store.patch(bucket, request.match_info["object"], body, request.query)
        return self._answer(request, stored)

    async def delete(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.delete."""
        bucket = self._bucket(request, caller, "storage.objects.delete")
        self._store.delete(bucket, request.match_info["object"], request.query)
        return web.Response(status=204)

    async def batch(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer a batch request, of which each call has an answer of its own; only deletions are known."""

        def delete(bucket: str, name: str, query: Mapping[str, str]) -> None:
            found = self._store.bucket(bucket, caller=caller, permission="storage.objects.delete")
            self._store.delete(found, name, query)

        return answer_batch(request.headers.get("Content-Type", ""), await request.read(), delete)

    async def rewrite(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.rewrite, always in one go."""
        copied = await self._copy(request, caller)
        size = str(len(copied.content))
        return json_answer(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": size,
                "objectSize": size,
                "done": True,
                "resource": self._resource(request, copied),
            }
        )

    async def copy(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer objects.copy."""
        return self._answer(request, await self._copy(request, caller))

    async def _copy(self, request: web.Request, caller: str) -> StoredObject:
        bucket = self._bucket(request, caller, "storage.objects.get")
        source = self._store.read(bucket, request.match_info["object"], {})
        target = self._store.bucket(
            request.match_info["to_bucket"], caller=caller, permission="storage.objects.create"
        )
        properties = {**source.properties, **await json_body(request)}
        name = request.match_info["to_object"]
        return self._store.write(target, name, source.content, properties, request.query)

    def _bucket(self, request: web.Request, caller: str, permission: str) -> Bucket:
        return self._store.bucket(request.match_info["bucket"], caller=caller, permission=permission)

    def _written(self, request: web.Request, bucket: Bucket, upload: Upload) -> web.StreamResponse:
        properties = dict(upload.metadata)
        if upload.content_type:
            properties.setdefault("contentType", upload.content_type)
        if "contentEncoding" in request.query:
            properties["contentEncoding"] = request.query["contentEncoding"]
        name = request.query.get("name") or properties.get("name", "")
        return self._answer(
            request, self._store.write(bucket, name, upload.content, properties, request.query)
        )

    def _answer(self, request: web.Request, stored: StoredObject) -> web.Response:
        return json_answer(self._resource(request, stored), headers={"ETag": f'"{stored.etag}"'})

    def _resource(self, request: web.Request, stored: StoredObject) -> Json:
        root = str(request.url.origin())
        path = f"/storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
        return {
            **stored.resource(),
            "selfLink": root + path,
            "mediaLink": f"{root}/download{path}?generation={stored.generation}&alt=media",
        }


def _conditional(handler: Handler) -> Handler:
    async def answer(request: web.Request, caller: str) -> web.StreamResponse:
        for name in ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "generation"):
            integer(request, name, 0)
        try:
            return await handler(request, caller)
        except NotModified:
            if request.method == "GET":
                return web.Response(status=304)
            raise ApiError(412, "conditionNotMet", NOT_MET, location="If-Match") from None

    return answer


def _entries(bucket: Bucket, request: web.Request) -> list[StoredObject | str]:
    """Return objects and prefixes in the order of their names."""
    prefix = request.query.get("prefix", "")
    delimiter = request.query.get("delimiter", "")
    first = request.query.get("startOffset", "")
    last = request.query.get("endOffset")
    found: dict[str, StoredObject | str] = {}
    for name, stored in bucket.objects.items():
        if not name.startswith(prefix) or name < first or (last is not None and name >= last):
            continue
        folder, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if cut:
            found[prefix + folder + cut] = prefix + folder + cut
        else:
            found[name] = stored
    return [found[name] for name in sorted(found)]


def _headers(stored: StoredObject) -> dict[str, str]:
    headers = {
        "Content-Type": stored.properties["contentType"],
        "ETag": stored.etag,
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": f"md5={stored.md5}",
        "X-Goog-Storage-Class": "STANDARD",
        "X-Goog-Stored-Content-Encoding": stored.properties.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(len(stored.content)),
    }
    if "contentEncoding" in stored.properties:
        headers["Content-Encoding"] = stored.properties["contentEncoding"]
    return headers


def _ranged(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
    match = RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match.groups() == ("", ""):
        return web.Response(body=content, headers=headers)
    size = len(content)
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        start, end = max(size - int(match[2]), 0), size - 1
    if start >= size:
        raise ApiError(
            416, "requestedRangeNotSatisfiable", "Request range not satisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        )  # fmt: skip
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return web.Response(status=206, body=content[start : end + 1], headers=headers)
