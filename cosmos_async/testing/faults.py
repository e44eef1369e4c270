"""
What goes wrong between a client and Google, dealt by the test.

A fault names the operations it hits ("jobs.insert", "objects.*") and how often. Deciding is here; the server's
middleware carries it out.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cosmos_async.testing.engine import ApiError
from cosmos_async.testing.requests import Request
from cosmos_async.testing.signal import Signal


class Harm(enum.Enum):
    """The ways in which a call can go wrong."""

    REFUSED = "refused"  #: an HTTP error; the call has no effect
    RESET = "reset"  #: the connection is reset; the call has no effect
    LOST = "lost"  #: the call takes effect and the connection is reset instead of an answer
    TRUNCATED = "truncated"  #: the call takes effect and half of the answer arrives
    GARBLED = "garbled"  #: the call takes effect and half of the answer arrives as if it were all of it
    PAGE = "page"  #: the call takes effect and a proxy's page of HTML arrives, under a good status
    SLOW = "slow"  #: the call takes effect and the answer's body arrives in small pieces over some seconds
    DELAYED = "delayed"  #: the call waits before it is handled
    HELD = "held"  #: the call waits, unhandled, until the fault is released


#: Google's usual word and sentence for a status.
USUAL: dict[int, tuple[str, str]] = {
    400: ("invalid", "Bad Request"),
    401: ("authError", "Request had invalid authentication credentials."),
    403: ("accessDenied", "Access Denied: the caller does not have permission"),
    404: ("notFound", "Not Found"),
    408: ("timeout", "Request Timeout"),
    409: ("duplicate", "Already Exists"),
    412: ("conditionNotMet", "Precondition Failed"),
    429: ("rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method for this user_method"),
    500: ("internalError", "An internal error occurred and the request could not be completed."),
    502: ("backendError", "Bad Gateway"),
    503: ("backendError", "The service is currently unavailable."),
    504: ("backendError", "Gateway Timeout"),
}  # fmt: skip


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong; `FakeGoogle` makes them."""

    operation: str  #: a pattern over operation names, such as "jobs.insert" or "tables.*"
    harm: Harm
    times: int | None = 1  #: how many calls it still hits; None means all
    when: Callable[[Request], bool] | None = None  #: which of the calls
    probability: float = 1.0
    error: ApiError | None = None  #: for REFUSED
    seconds: float = 0.0  #: for DELAYED and SLOW
    hits: int = 0  #: how many calls it has hit
    released: Signal = field(default_factory=Signal)  #: for HELD

    def release(self) -> None:
        """Let the calls it holds go on, and hit no more."""
        self.times = 0
        self.released.set()

    def matches(self, request: Request) -> bool:
        """Say whether *request* is one of the calls it is for."""
        if self.times is not None and self.times <= 0:
            return False
        return fnmatchcase(request.operation, self.operation) and (self.when is None or self.when(request))


class Faults:
    """
    The faults in force, oldest first.

    Args:
        seed: Where the chances of faults with a probability start.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put *fault* in force."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything go well from now on, held calls included."""
        for fault in self._faults:
            fault.release()
        self._faults.clear()

    def hit(self, request: Request) -> Fault | None:
        """Return the fault that befalls *request*, and count it."""
        for fault in self._faults:
            if not fault.matches(request) or self._random.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None


def refusal(
    status: int, *, reason: str | None = None, message: str | None = None, retry_after: float | None = None
) -> ApiError:
    """Return the error Google answers with *status*; *retry_after* is in seconds."""
    usual_reason, usual_message = USUAL.get(status, ("backendError", f"HTTP status {status}"))
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return ApiError(status, reason or usual_reason, message or usual_message, headers=headers)
