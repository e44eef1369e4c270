"""
Another day for dbt: its process gets libfaketime, from the environment that `make fidelity` sets up.
"""

from __future__ import annotations

import functools
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[2] / ".venvs" / "fidelity"


@functools.cache
def library() -> Path | None:
    """Return libfaketime, None where it is not there or not made for this machine."""
    return next(
        ENVIRONMENT.glob("lib/python3*/site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1"),
        None,
    )


def shifted(later: timedelta) -> dict[str, str]:
    """
    Return the environment of a process whose clock is ahead.

    Args:
        later: By how much.
    """
    found = library()
    if found is None:
        raise RuntimeError("libfaketime is not there; `make .venvs/fidelity/.ready` sets it up")
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME": f"+{int(later.total_seconds())}s",
        # Waiting and time limits go on as they are.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def shifted_datetime(later: timedelta) -> type[datetime]:
    """Return `datetime` of a clock that is ahead, for what this process itself takes for the beginning of a run."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + later

    return Shifted
