"""
The run's folder of objects: in a bucket of Cloud Storage, or a local one where one machine is all there is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from gcloud.aio.storage import Storage

from cosmos_async import settings
from cosmos_async.exceptions import ApiError, AuthError, StoreError
from cosmos_async.plan.ids import object_name
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.storage import batch

PUBLIC_ENDPOINT = "https://storage.googleapis.com"
TIMEOUT = 60  # seconds for one object

T = TypeVar("T")


class ObjectMissing(StoreError):
    """There is no such object in the folder."""


class ObjectThere(StoreError):
    """There is such an object already."""


class Folder(Protocol):
    """One run's folder; names are relative to it and use ``/``."""

    path: str

    async def read(self, name: str) -> bytes:
        """Return an object; raises :class:`ObjectMissing`."""
        ...

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return an object's bytes from *start* to before *end*, fewer where it ends before; raises :class:`ObjectMissing`."""
        ...

    async def write(self, name: str, data: bytes, *, only_new: bool = False) -> None:
        """Write an object, whole or not at all; with *only_new*, raise :class:`ObjectThere` if there is one."""
        ...

    async def names(self, prefix: str = "") -> list[str]:
        """Return the names of all objects that begin with *prefix*, sorted."""
        ...

    async def remove(self, name: str) -> None:
        """Delete one object; one that is not there is as good."""
        ...

    async def delete(self) -> int:
        """Delete everything; return how many objects there were."""
        ...


# -- Cloud Storage ----------------------------------------------------------------------------------------------------


class _AuthorisedStorage(Storage):
    """gcloud-aio's client, without its switch: an environment variable there turns authentication off."""

    async def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token.get()}"}


def client_of(session: Session, endpoint: str | None = None) -> Storage:
    """
    Return a client whose calls *session* carries.

    Args:
        session: The session.
        endpoint: The API's root without a path; None means the one of the settings, else Google's public one.
    """
    return _AuthorisedStorage(
        session=session.http,
        token=session.token,
        # With a root of our own the client would take us for a developer and send no token: see the class.
        api_root=(endpoint or settings.storage_endpoint() or PUBLIC_ENDPOINT).rstrip("/"),
    )


class GcsFolder:
    """
    A folder in a bucket.

    Args:
        session: Carries the calls.
        path: ``gs://bucket/prefix``.
        endpoint: The API's root without a path; None means Google's public one.
    """

    def __init__(self, session: Session, path: str, endpoint: str | None = None) -> None:
        self.path = path.rstrip("/")
        self.bucket, _, self._prefix = self.path[len("gs://") :].partition("/")
        self._session = session
        self._endpoint = endpoint

    def _client(self) -> Storage:
        return client_of(self._session, self._endpoint or PUBLIC_ENDPOINT)

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._prefix, _inside(name)) if part)

    async def read(self, name: str) -> bytes:
        return await self._read(name, {})

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        return await self._read(name, {"Range": f"bytes={start}-{end - 1}"})

    async def _read(self, name: str, headers: dict[str, str]) -> bytes:
        client, key = self._client(), self._key(name)
        try:
            return await self._call(
                f"reading gs://{self.bucket}/{key}",
                # A copy for each attempt: the client adds the token.
                lambda: client.download(self.bucket, key, headers={**headers}, timeout=TIMEOUT),
            )
        except ApiError as error:
            if error.status == 404:
                await self._need_bucket(error)
                raise ObjectMissing(f"gs://{self.bucket}/{key} does not exist.") from error
            if error.status == 416:  # the object ends before the range begins
                return b""
            raise self._explained(error) from error

    async def write(self, name: str, data: bytes, *, only_new: bool = False) -> None:
        client, key = self._client(), self._key(name)
        # https://cloud.google.com/storage/docs/request-preconditions: 0 means that there is no such object.
        parameters = {"ifGenerationMatch": "0"} if only_new else {}

        async def send() -> None:
            # The type is given so that nobody looks into the machine's table of file types; one request per object.
            await client.upload(
                self.bucket,
                key,
                data,
                content_type="text/html" if key.endswith(".html") else "application/octet-stream",
                parameters=parameters,
                force_resumable_upload=False,
                timeout=TIMEOUT,
            )

        try:
            await self._call(f"writing gs://{self.bucket}/{key}", send)
        except ApiError as error:
            if only_new and error.status == 412:
                raise ObjectThere(f"gs://{self.bucket}/{key} exists.") from error
            raise self._explained(error) from error

    async def names(self, prefix: str = "") -> list[str]:
        client, key = self._client(), self._key(prefix)
        if not prefix:
            key += "/" if key else ""
        found: list[str] = []
        params = {"prefix": key, "fields": "nextPageToken,items(name)"}
        while True:
            try:
                page = await self._call(
                    f"listing gs://{self.bucket}/{key}",
                    partial(client.list_objects, self.bucket, params=params, timeout=TIMEOUT),
                )
            except ApiError as error:
                raise self._explained(error) from error
            found += [item["name"] for item in page.get("items") or []]
            token = page.get("nextPageToken")
            if not token:
                break
            params = {**params, "pageToken": token}
        start = len(self._prefix) + 1 if self._prefix else 0
        return sorted(name[start:] for name in found)

    async def remove(self, name: str) -> None:
        client, key = self._client(), self._key(name)
        try:
            await self._call(
                f"deleting gs://{self.bucket}/{key}",
                lambda: client.delete(self.bucket, key, timeout=TIMEOUT),
            )
        except ApiError as error:
            if error.status != 404:  # gone already, by an attempt whose answer was lost
                raise self._explained(error) from error

    async def delete(self) -> int:
        names = await self.names()
        left = await gather_bounded(
            self._delete_batch(names[start : start + batch.MOST])
            for start in range(0, len(names), batch.MOST)
        )
        await gather_bounded(self.remove(name) for part in left for name in part)
        return len(names)

    async def _delete_batch(self, names: list[str]) -> list[str]:
        """Delete objects in one request; return those that may be there still, which are deleted one by one then."""
        client, keys = self._client(), {self._key(name): name for name in names}
        root = self._endpoint or PUBLIC_ENDPOINT
        try:
            left = await self._call(
                f"deleting {len(names)} objects of gs://{self.bucket}/{self._prefix}",
                lambda: batch.delete(client, root, self.bucket, list(keys)),
            )
        except (ApiError, StoreError):  # also where something in Google's place knows no batches
            return names
        return [keys[key] for key in left]

    async def _call(self, what: str, send: Callable[[], Awaitable[T]]) -> T:
        return await self._session.call(what, send)

    async def _need_bucket(self, error: ApiError) -> None:
        """Tell a missing bucket from a missing object."""
        # https://cloud.google.com/storage/docs/json_api/v1/status-codes#404_Not_Found
        if "bucket does not exist" in str(error):
            raise self._explained(error) from error

    def _explained(self, error: ApiError) -> Exception:
        if isinstance(error, AuthError):
            return error
        setting = "remote_target_path (AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH)"
        if error.status == 404:
            return StoreError(
                f"The bucket gs://{self.bucket} does not exist (asked as {self._session.who}). Create it, or name "
                f"another one in {setting}."
            )
        if error.status == 403:
            return StoreError(
                f"{self._session.who} may not use the bucket gs://{self.bucket}. {error} Grant it "
                f"roles/storage.objectAdmin there, or name another connection in remote_target_path_conn_id."
            )
        return error


# -- a local folder ---------------------------------------------------------------------------------------------------


class LocalFolder:
    """
    A folder of this machine.

    Args:
        path: Absolute, perhaps as a ``file://`` address.
        written_by: The host that wrote it, for the error where this one does not see it.
    """

    def __init__(self, path: str, *, written_by: str | None = None) -> None:
        self.path = path[len("file://") :] if path.startswith("file://") else path
        self._root = Path(self.path)
        self._written_by = written_by

    async def sign(self) -> None:
        """
        Leave this machine's name beside the folder.

        Who finds it knows that both see the same disk, and what is missing in the folder was deleted.
        """
        await asyncio.to_thread(self._write_file, self._sign_of(socket.gethostname()), b"")

    def _sign_of(self, host: str) -> Path:
        # No object name has a tilde, so no run can be called like this.
        return self._root.parent / "~hosts" / object_name(host)

    async def read(self, name: str) -> bytes:
        return await asyncio.to_thread(self._read, name)

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        return await asyncio.to_thread(self._read, name, start, end - start)

    def _read(self, name: str, start: int = 0, length: int = -1) -> bytes:
        try:
            with (self._root / _inside(name)).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError as error:
            here = socket.gethostname()
            if self._written_by not in ("", None, here) and not self._sign_of(self._written_by).exists():
                raise StoreError(
                    f"{self._root} was written on {self._written_by}, and this is {here}, which does not see it. "
                    "Workers and triggerers on different machines need a shared place: set remote_target_path "
                    "(AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH) to gs://bucket/prefix, on all of them."
                ) from error
            raise ObjectMissing(f"{self._root / name} does not exist on {here}.") from error
        except OSError as error:
            raise StoreError(f"{self._root / name} cannot be read: {error.strerror}.") from error

    async def write(self, name: str, data: bytes, *, only_new: bool = False) -> None:
        await asyncio.to_thread(self._write, name, data, only_new=only_new)

    def _write(self, name: str, data: bytes, *, only_new: bool = False) -> None:
        self._write_file(self._root / _inside(name), data, only_new=only_new)

    def _write_file(self, target: Path, data: bytes, *, only_new: bool = False) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.chmod(temporary, 0o640)
                if only_new:
                    os.link(temporary, target)
                    os.unlink(temporary)
                else:
                    os.replace(temporary, target)
            except FileExistsError as error:
                os.unlink(temporary)
                raise ObjectThere(f"{target} exists.") from error
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise StoreError(
                f"{target} cannot be written on {socket.gethostname()}: {error.strerror}. Give this user the folder, "
                "or set remote_target_path (AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH) to another one."
            ) from error

    async def names(self, prefix: str = "") -> list[str]:
        return await asyncio.to_thread(self._names, prefix)

    def _names(self, prefix: str) -> list[str]:
        found = (
            path.relative_to(self._root).as_posix()
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.startswith(".writing-")
        )
        return sorted(name for name in found if name.startswith(prefix))

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(self._remove, name)

    def _remove(self, name: str) -> None:
        try:
            (self._root / _inside(name)).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self._root / name} cannot be deleted: {error.strerror}.") from error
        with suppress(OSError):  # of no use any more, unless there is something else in it
            self._root.rmdir()

    async def delete(self) -> int:
        return await asyncio.to_thread(self._delete)

    def _delete(self) -> int:
        count = len(self._names(""))
        try:
            shutil.rmtree(self._root)
        except FileNotFoundError:
            return count
        except OSError as error:
            raise StoreError(f"{self._root} cannot be deleted: {error.strerror}.") from error
        return count


def _inside(name: str) -> str:
    """Return *name*, unless it would lead out of its folder."""
    if name.startswith("/") or any(part in (".", "..") for part in name.split("/")):
        raise StoreError(f"{name!r} is no name of an object in a run's folder.")
    return name


def folder_of(session: Session, path: str, *, written_by: str | None = None) -> Folder:
    """Return the folder at *path* as *session* sees it."""
    if path.startswith("gs://"):
        return GcsFolder(session, path, settings.storage_endpoint())
    return LocalFolder(path, written_by=written_by)
