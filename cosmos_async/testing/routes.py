"""
One route of the stand-in: a path, and Google's name for what happens there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

#: Answers a request; the second argument is the caller's e-mail address.
Handler = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """A path, its operation, its handler."""

    method: str
    path: str  #: in aiohttp's pattern language
    operation: str  #: such as "jobs.insert"
    handler: Handler
