"""
What Google has been asked: every request in its order, for tests to assert on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cosmos_async.testing.signal import Signal

#: The operations that change something.
MUTATIONS = frozenset(
    f"{resource}.{verb}"
    for resource, verbs in {
        "datasets": "insert patch update delete",
        "jobs": "insert query cancel delete",
        "objects": "insert patch delete rewrite batch",
        "tables": "insert patch update delete",
        "uploads": "continue",
    }.items()
    for verb in verbs.split()
)


@dataclass
class Request:
    """One request as it arrived, and how it was answered."""

    operation: str  #: such as "jobs.insert", "objects.get", "token"; "unknown" for a path nobody serves
    method: str
    path: str  #: decoded
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    email: str | None = None  #: who sent it, once its token is known
    status: int | None = None  #: the answer's status; None while it is handled or when the answer was lost
    began: float = field(default_factory=time.monotonic)  #: when it had arrived, on the monotonic clock
    ended: float | None = None  #: when its answer was ready; None while it is handled

    @property
    def token(self) -> str | None:
        """Return the bearer token it carried."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else None

    @property
    def json(self) -> Any:
        """Return the JSON it carried, None when there was none."""
        return json.loads(self.body) if self.body else None

    def __repr__(self) -> str:
        return f"<{self.operation}: {self.method} {self.path} → {self.status or 'no answer'}>"


class RequestLog:
    """The requests so far; iterates from the oldest."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._arrival = Signal()

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def add(self, request: Request) -> None:
        """Append *request*."""
        self._requests.append(request)
        self._arrival.set()
        self._arrival = Signal()

    def clear(self) -> None:
        """Forget the requests so far."""
        self._requests.clear()

    def of(self, operation: str, when: Callable[[Request], bool] | None = None) -> list[Request]:
        """Return the requests for *operation*, a name or a pattern such as "jobs.*"."""
        return [
            request
            for request in self._requests
            if fnmatchcase(request.operation, operation) and (when is None or when(request))
        ]

    def most_at_once(self, operation: str) -> int:
        """Return how many requests for *operation* were under way at the same time, at the most."""
        moments = [(request.began, 1) for request in self.of(operation)]
        moments += [(request.ended, -1) for request in self.of(operation) if request.ended is not None]
        current = most = 0
        for _, change in sorted(moments):
            current += change
            most = max(most, current)
        return most

    async def arrived(
        self, operation: str, *, count: int = 1, when: Callable[[Request], bool] | None = None
    ) -> list[Request]:
        """Wait until *count* requests for *operation* have arrived, and return them."""
        while len(found := self.of(operation, when)) < count:
            await self._arrival.wait()
        return found
