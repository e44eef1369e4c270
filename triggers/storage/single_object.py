"""One object of Cloud Storage, read if it is another one than the reader knows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from cosmos_async.exceptions import Unavailable
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.storage.folders import client_of


@dataclass(frozen=True)
class Found:
    """What lies there."""

    generation: str  #: Cloud Storage's number for this content
    data: bytes | None  #: None where the reader knows it already


async def read_unless_known(
    bucket: str, name: str, *, identity: Identity, known: Collection[str], timeout: float
) -> Found:
    """
    Return an object's generation, and its content unless the generation is *known*.

    Args:
        bucket: Its bucket.
        name: Its name.
        identity: Who reads.
        known: Generations whose content the reader has.
        timeout: Seconds for all of it, retries included.

    Raises:
        ApiError: Google refused; :class:`Unavailable` where there was no answer in time.
        ProfileError: There are no such credentials.
    """
    what = f"reading gs://{bucket}/{name}"

    async def read() -> Found:
        async with shared_session(identity) as session:
            client = client_of(session)
            metadata = await session.call(
                what, lambda: client.download_metadata(bucket, name, timeout=int(timeout))
            )
            generation = str(metadata["generation"])
            if generation in known:
                return Found(generation, None)
            # Should it be written anew just now, the next reader finds another generation and reads it again.
            data = await session.call(what, lambda: client.download(bucket, name, timeout=int(timeout)))
            return Found(generation, data)

    try:
        return await asyncio.wait_for(read(), timeout)
    except asyncio.TimeoutError as error:
        raise Unavailable(f"{what}: no answer within {timeout:.0f} s.") from error
