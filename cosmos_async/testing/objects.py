"""
Buckets and objects in memory, with generations and preconditions as in Cloud Storage.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cosmos_async.testing.engine import ApiError, Json

#: What a client may set when it writes or patches an object.
WRITABLE = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType", "customTime",
            "metadata", "storageClass")  # fmt: skip
FIRST_GENERATION = 1_700_000_000_000_000
NOT_MET = "At least one of the pre-conditions you specified did not hold."


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object."""

    bucket: str
    name: str
    content: bytes  #: as stored, so compressed when `contentEncoding` says so
    generation: int
    metageneration: int = 1
    properties: Json = field(default_factory=dict)  #: the writable ones
    created: str = ""

    @property
    def etag(self) -> str:
        """The etag, which changes with every write and patch."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    @property
    def md5(self) -> str:
        """The content's MD5 in base64."""
        return base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()

    @property
    def gzipped(self) -> bool:
        """Whether the content is stored compressed and may be served decompressed."""
        return self.properties.get("contentEncoding") == "gzip"

    def plain(self) -> bytes:
        """Return the content as a reader without gzip gets it."""
        return gzip.decompress(self.content) if self.gzipped else self.content

    def resource(self) -> Json:
        """Return Cloud Storage's Object resource."""
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(len(self.content)),
            "md5Hash": self.md5,
            "etag": self.etag,
            "timeCreated": self.created,
            "updated": self.created,
            "timeStorageClassUpdated": self.created,
            **self.properties,
        }


@dataclass
class Bucket:
    """One bucket."""

    name: str
    project_id: str
    forbidden: bool = False  #: every call is refused with 403
    objects: dict[str, StoredObject] = field(default_factory=dict)

    def resource(self) -> Json:
        """Return Cloud Storage's Bucket resource."""
        return {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "projectNumber": "1",
            "metageneration": "1",
            "location": "US",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "etag": "CAE=",
        }


class ObjectStore:
    """All buckets of the stand-in."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._generation = FIRST_GENERATION

    def add_bucket(self, name: str, *, project_id: str, forbidden: bool = False) -> Bucket:
        """Create a bucket, or change whether an existing one is forbidden."""
        bucket = self._buckets.setdefault(name, Bucket(name, project_id))
        bucket.forbidden = forbidden
        return bucket

    def buckets(self, project_id: str) -> list[Bucket]:
        """Return the buckets of a project."""
        return [bucket for bucket in self._buckets.values() if bucket.project_id == project_id]

    def find(self, name: str) -> Bucket:
        """Return a bucket whoever asks."""
        bucket = self._buckets.get(name)
        if bucket is None:
            raise ApiError(404, "notFound", "The specified bucket does not exist.")
        return bucket

    def bucket(self, name: str, *, caller: str, permission: str) -> Bucket:
        """Return a bucket, or refuse as Cloud Storage does."""
        bucket = self.find(name)
        if bucket.forbidden:
            raise ApiError(
                403,
                "forbidden",
                f"{caller} does not have {permission} access to the Google Cloud Storage bucket. Permission "
                f"'{permission}' denied on resource (or it may not exist).",
            )
        return bucket

    def write(
        self, bucket: Bucket, name: str, content: bytes, properties: Json, query: Mapping[str, str]
    ) -> StoredObject:
        """Write a new generation of an object, if the preconditions in *query* hold."""
        if not name or len(name.encode()) > 1024:
            raise ApiError(400, "required", "Required parameter is missing or invalid: name", location="name")
        check_preconditions(bucket.objects.get(name), query)
        self._generation += 1
        kept = {key: properties[key] for key in WRITABLE if properties.get(key) is not None}
        kept.setdefault("contentType", "application/octet-stream")
        stored = StoredObject(bucket.name, name, content, self._generation, properties=kept, created=_now())
        if properties.get("md5Hash") not in (None, stored.md5):
            raise ApiError(
                400, "invalid", f"Provided MD5 hash doesn't match calculated MD5 hash {stored.md5}."
            )
        bucket.objects[name] = stored
        return stored

    def read(self, bucket: Bucket, name: str, query: Mapping[str, str]) -> StoredObject:
        """Return an object, if it exists and the preconditions in *query* hold."""
        stored = bucket.objects.get(name)
        wanted = query.get("generation")
        if stored is None or wanted not in (None, str(stored.generation)):
            raise ApiError(404, "notFound", f"No such object: {bucket.name}/{name}")
        check_preconditions(stored, query)
        return stored

    def delete(self, bucket: Bucket, name: str, query: Mapping[str, str]) -> None:
        """Delete an object."""
        self.read(bucket, name, query)
        del bucket.objects[name]

    def patch(self, bucket: Bucket, name: str, body: Json, query: Mapping[str, str]) -> StoredObject:
        """Change properties of an object; None removes one."""
        stored = self.read(bucket, name, query)
        properties = dict(stored.properties)
        for key in WRITABLE:
            if key not in body:
                continue
            if body[key] is None:
                properties.pop(key, None)
            elif key == "metadata":
                changed = {**properties.get("metadata", {}), **body["metadata"]}
                properties["metadata"] = {name: value for name, value in changed.items() if value is not None}
            else:
                properties[key] = body[key]
        changed_object = StoredObject(
            stored.bucket,
            stored.name,
            stored.content,
            stored.generation,
            stored.metageneration + 1,
            properties,
            stored.created,
        )
        bucket.objects[name] = changed_object
        return changed_object


class NotModified(Exception):
    """The client has this generation already: 304, without a body."""


def check_preconditions(stored: StoredObject | None, query: Mapping[str, str]) -> None:
    """Refuse with 412 unless the generations in *query* fit; an absent object has generation 0."""
    generation = stored.generation if stored else 0
    metageneration = stored.metageneration if stored else 0
    for suffix, actual in (("Generation", generation), ("Metageneration", metageneration)):
        match, other = query.get(f"if{suffix}Match"), query.get(f"if{suffix}NotMatch")
        if match is not None and int(match) != actual:
            raise ApiError(412, "conditionNotMet", NOT_MET, location="If-Match")
        if other is not None and int(other) == actual:
            raise NotModified


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
