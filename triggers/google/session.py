"""
One HTTP session and one token per identity and event loop, and every call through one set of retries.

A session belongs to the loop it was made on; it is shared by count and closed by its last user.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import aiohttp

from cosmos_async.exceptions import ApiError, Unavailable
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.event_loop.suspension import SuspensionDetector
from cosmos_async.triggers.google.credentials import Credentials, Identity, identity_key, resolve
from cosmos_async.triggers.google.errors import TRANSPORT_ERRORS, api_error
from cosmos_async.triggers.google.retry import PROMPT, Budget, GiveUp, after_error
from cosmos_async.triggers.google.token import GivenToken, SharedToken, make_token

T = TypeVar("T")
Before = Callable[[], Awaitable[None]]

#: Sockets per identity. BigQuery allows some 300 concurrent API requests per user; long polls hold up to 200 of them.
CONNECTIONS = 300
CLOSE_TIMEOUT = 5.0  # seconds
#: Results of once(): a triggerer may be busy for weeks without a moment in which its session closes.
KEPT_RESULTS = 256
KEPT_BYTES = 32 * 1024 * 1024  # of those whose size is known


class Session:
    """
    Authorised HTTP for one identity on one event loop.

    Args:
        credentials: Whose.
        clock: Time and chance.
    """

    def __init__(self, credentials: Credentials, *, clock: Clock) -> None:
        self.credentials = credentials
        self.clock = clock
        self.shared: dict[Any, Any] = {}  #: what users of this session keep for one another; dies with it
        self._used: WeakValueDictionary[Any, Any] = WeakValueDictionary()  # of while_used()
        self._results: OrderedDict[Any, Any] = OrderedDict()  # of once(), the last used at the end
        self._sizes: dict[Any, int] = {}  # of some of them, in bytes
        self._http: aiohttp.ClientSession | None = None
        self._token: SharedToken | GivenToken | None = None
        self._flights: dict[Any, asyncio.Task[Any]] = {}
        self.suspension = SuspensionDetector()  #: tells whether this process has stood still
        self._closers: list[Callable[[], Awaitable[None]]] = []

    @property
    def who(self) -> str:
        """The identity, for messages."""
        return self.credentials.who

    @property
    def http(self) -> Any:
        """aiohttp's session; untyped, because gcloud-aio's types take it for that of requests."""
        if self._http is None:
            raise RuntimeError("this session is not open; use it inside `async with shared_session(...)`")
        return self._http

    @property
    def token(self) -> SharedToken | GivenToken:
        """The token; for gcloud-aio."""
        if self._token is None:
            raise RuntimeError("this session is not open; use it inside `async with shared_session(...)`")
        return self._token

    async def open(self) -> None:
        """
        Make the HTTP session and the token.

        Raises:
            ProfileError: The credentials cannot be used.
        """
        # Companies' proxies are named in the environment; aiohttp reads it only when told to.
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS), trust_env=True, json_serialize=_no_json
        )
        try:
            self._token = await make_token(self.credentials, http=http, clock=self.clock)
        except BaseException:
            await http.close()
            raise
        self._http = http
        self.suspension.start()

    async def aclose(self) -> None:
        """Close everything that was opened."""
        http, self._http = self._http, None
        await self.suspension.stop()
        for close in reversed(self._closers):
            await close()
        for flight in list(self._flights.values()):
            flight.cancel()
        if self._token is not None:
            await self._token.close()
        if http is not None:
            await http.close()

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have *close* awaited before this session closes."""
        self._closers.append(close)

    async def call(
        self,
        what: str,
        send: Callable[[], Awaitable[T]],
        *,
        budget: Budget = PROMPT,
        before: Before | None = None,
        deadline: float | None = None,
        on_retry: Callable[[ApiError], None] | None = None,
    ) -> T:
        """
        Await ``send()``, again after errors that pass; a refused token is renewed once.

        Args:
            what: What is attempted, such as ``reading table p.d.t``; begins error messages.
            send: Sends the request; called anew for each attempt.
            budget: How long to go on.
            before: Awaited before each attempt; may raise to prevent it, for much can happen between two.
            deadline: When to give up, on the clock's scale.
            on_retry: Told each error that will be retried.

        Raises:
            ApiError: Google refused, or :class:`Unavailable` when the budget or the deadline was used up.
        """
        attempt, renewed = 0, False
        while True:
            bearer = self.token.access_token
            try:
                if before is not None:
                    await before()
                return await send()
            except ApiError as raised:  # the token's, or that of another call; it has had its own retries
                error, cause = raised, raised.__cause__
                if raised.status == 401 or raised.reason == "noToken":
                    raise
            except TRANSPORT_ERRORS as raised:
                error, cause = api_error(raised, what=what, who=self.who), raised
            attempt += 1
            if error.status == 401 and not renewed:
                renewed = True
                self.token.drop(bearer)
                continue
            left = None if deadline is None else deadline - self.clock.now()
            decision = after_error(
                error, attempt=attempt, jitter=self.clock.jitter(), budget=budget, left=left
            )
            if isinstance(decision, GiveUp):
                if not decision.exhausted:
                    raise error from cause
                raise Unavailable(
                    f"{error} Tried {attempt} times as {self.who}.",
                    status=error.status,
                    reason=error.reason,
                    retry_after=error.retry_after,
                ) from cause
            if on_retry is not None:
                on_retry(error)
            await self.clock.sleep(decision.wait)

    def while_used(self, key: Any, make: Callable[[], T]) -> T:
        """Return the object of *key* that somebody still holds, else what ``make()`` gives."""
        found: T | None = self._used.get(key)
        if found is None:
            found = self._used[key] = make()
        return found

    async def once(self, key: Any, make: Callable[[], Coroutine[Any, Any, T]], *, size: int = 0) -> T:
        """
        Return the result of ``make()``, made once for all who ask for *key*; of old ones only a few are kept.

        Args:
            key: What tells the result from others.
            make: Makes it.
            size: Its bytes, if it is one of the big ones, of which fewer are kept.
        """
        if key in self._results:
            self._results.move_to_end(key)
            return self._results[key]  # type: ignore[no-any-return]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(make())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done, size))
        # Shielded: whoever waits may be cancelled, the others still want it.
        return await asyncio.shield(flight)  # type: ignore[no-any-return]

    def forget(self, key: Any) -> None:
        """Have the next who asks for *key* get a result of their own."""
        self._results.pop(key, None)
        self._sizes.pop(key, None)

    def _landed(self, key: Any, flight: asyncio.Task[Any], size: int) -> None:
        del self._flights[key]
        if flight.cancelled() or flight.exception() is not None:
            return
        self._results[key] = flight.result()
        if size:
            self._sizes[key] = size
        if len(self._results) > KEPT_RESULTS:
            self.forget(next(iter(self._results)))
        while sum(self._sizes.values()) > KEPT_BYTES:
            self.forget(next(key for key in self._results if key in self._sizes))


def _no_json(value: Any) -> str:
    raise TypeError("bodies are serialised by the caller")


class _Lease:
    def __init__(self, opening: asyncio.Task[Session]) -> None:
        self.opening = opening
        self.users = 0


_leases: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Lease]] = WeakKeyDictionary()
_kept: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_real_clock = Clock()


@asynccontextmanager
async def shared_session(identity: Identity, *, clock: Clock = _real_clock) -> AsyncIterator[Session]:
    """
    Share one session and its token per event loop and identity; the last user closes it.

    Args:
        identity: The names of the credentials, see :func:`cosmos_async.triggers.google.credentials.resolve`.
        clock: Time and chance, of whoever comes first.

    Raises:
        ProfileError: The identity cannot be found or used.
    """
    loop = asyncio.get_running_loop()
    leases = _leases.setdefault(loop, {})
    key = identity_key(identity)
    lease = leases.get(key)
    if lease is None:
        lease = leases[key] = _Lease(loop.create_task(_open(identity, clock)))
    lease.users += 1
    try:
        yield await asyncio.shield(lease.opening)
    finally:
        lease.users -= 1
        failed = lease.opening.done() and (lease.opening.cancelled() or lease.opening.exception() is not None)
        if not lease.users and (failed or loop not in _kept):
            if leases.get(key) is lease:
                del leases[key]
            await _finish(_close(lease.opening), timeout=CLOSE_TIMEOUT)


def keep_sessions(loop: asyncio.AbstractEventLoop) -> None:
    """Let the last user of a session on *loop* leave it open, for the next one; see :func:`close_sessions`."""
    _kept.add(loop)


async def close_sessions() -> None:
    """Close what was kept open on this event loop."""
    loop = asyncio.get_running_loop()
    _kept.discard(loop)
    for lease in _leases.pop(loop, {}).values():
        await _finish(_close(lease.opening), timeout=CLOSE_TIMEOUT)


async def _open(identity: Identity, clock: Clock) -> Session:
    session = Session(await resolve(identity), clock=clock)
    await session.open()
    return session


async def _close(opening: asyncio.Task[Session]) -> None:
    try:
        session = await opening
    except Exception:
        return  # it never opened; those who waited for it have the error
    await session.aclose()


async def _finish(coroutine: Coroutine[Any, Any, None], *, timeout: float) -> None:
    """Await *coroutine* to its end even if we are cancelled meanwhile, but not longer than *timeout* seconds."""
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=timeout)
        raise
    if not task.done():
        task.cancel()
