"""
A manifest in Cloud Storage, as a file of this machine.

Every import of a DAG file asks whether there is another one: a request, and the object only if its generation is new.
What cannot be asked in time is answered by the last one that was read, with a warning: Google's bad minute takes no DAG
away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import ApiError, ProjectError, Unavailable
from cosmos_async.graph.cache import make_folder
from cosmos_async.plan.ids import digest

if TYPE_CHECKING:
    from cosmos_async.triggers.storage.single_object import Found

logger = logging.getLogger(__name__)

LONGEST = 20.0  # seconds of a DAG file's import
_ASK_AGAIN = 20.0  # seconds; several groups of a DAG file ask once
_KEPT_FOR = 24 * 3600  # seconds that older ones are kept

#: What this process has asked: the file, and when, by where it lies and who reads.
_asked: dict[str, tuple[Path, float]] = {}


def local_copy(uri: str, *, identity: Mapping[str, Any], directory: Path, timeout: float) -> Path:
    """
    Return a file with the content of the manifest at *uri*.

    Args:
        uri: ``gs://bucket/name``.
        identity: Who reads; see :meth:`cosmos_async.config.ProfileConfig.identity`.
        directory: Where copies are kept.
        timeout: Seconds to wait for Google.

    Raises:
        ProjectError: It is not there, may not be read, or cannot be read in time and never was.
        ProfileError: The connection cannot be used.
    """
    place = directory / digest(uri, sorted(identity.items()))[:32]
    known = _asked.get(str(place))
    if known is not None and known[0].is_file() and time.monotonic() - known[1] < _ASK_AGAIN:
        return known[0]
    copies = _copies(place)
    try:
        found = _read(uri, identity, known={copy.stem for copy in copies}, timeout=timeout)
    except Unavailable as error:
        if not copies:
            raise ProjectError(
                f"ProjectConfig.manifest_path {uri} cannot be read: {error} Try again, or deploy manifest.json with the "
                "DAG files."
            ) from error
        logger.warning(
            "%s The DAG is made of the manifest that was read last, of %s.",
            error,
            time.ctime(_age(copies[0])),
        )
        return copies[0]
    except ApiError as error:
        raise ProjectError(_explained(uri, error)) from error
    path = place / f"{found.generation}.json"
    if found.data is not None:
        _keep(path, found.data)
        for copy in copies[1:]:  # the one before may be read just now
            if _age(copy) < time.time() - _KEPT_FOR:
                copy.unlink(missing_ok=True)  # another process may be faster
    _asked[str(place)] = path, time.monotonic()
    return path


def _read(uri: str, identity: Mapping[str, Any], *, known: set[str], timeout: float) -> Found:
    # Whoever has no remote manifest pays for no client.
    from cosmos_async.triggers.storage.single_object import read_unless_known

    bucket, _, name = uri[len("gs://") :].partition("/")
    return _run(read_unless_known(bucket, name, identity=identity, known=known, timeout=timeout))


def _run(coroutine: Coroutine[Any, Any, Found]) -> Found:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:  # a notebook, say
        return pool.submit(asyncio.run, coroutine).result()


def _copies(place: Path) -> list[Path]:
    """Return what was read before, the newest first."""
    return sorted(place.glob("*.json"), key=_age, reverse=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # deleted by another process since it was listed
        return 0.0


def _keep(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(aside, path)  # readers never see half of one


def _explained(uri: str, error: ApiError) -> str:
    what = f"ProjectConfig.manifest_path {uri}"
    if error.status == 404:
        return (
            f"{what} does not exist. {error} Correct the path, or write it there with `dbt parse` and a copy."
        )
    if error.status in (401, 403):
        return (
            f"{what} may not be read. {error} Grant roles/storage.objectViewer on the bucket, or name another "
            "connection in manifest_conn_id."
        )
    return f"{what} cannot be read. {error}"
