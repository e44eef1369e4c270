"""
With which nodes setup assumes nothing any more, as what they read before the run was something else at their turn.

Pure. A node that reads what the run itself builds first is planned at setup all the same, by what is there now: most of what
templates ask for (the names in a column, the columns of a table) is the same from one run to the next. Its guards repeat the
reads at its turn, and where they differ the node is planned late. The next run is planned anew then, by what is there after
that. What differs again and again is planned late from the beginning, for some days.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

ASSUMPTIONS_OBJECT = "assumptions.json"
#: After so many days without a wrong assumption a node is as good as others.
DAYS = 7
#: So many wrong ones are enough.
ENOUGH = 2


@dataclass(frozen=True)
class Wrong:
    """Wrong assumptions with one node."""

    day: date  #: of the last one, UTC
    times: int  #: how many there were, each within the days after the one before
    run: str = ""  #: the nonce of the run of the last one


def with_wrong(known: Mapping[str, Wrong], nodes: Iterable[str], today: date, run: str) -> dict[str, Wrong]:
    """
    Return what is known of wrong assumptions after a run.

    Args:
        known: Before it.
        nodes: With which they were wrong in it, by unique id.
        today: UTC.
        run: Its nonce. Its results may be told several times, and each assumption was wrong once.
    """
    found = _recent(known, today)
    for unique_id in nodes:
        before = found.get(unique_id)
        if before is None or before.run != run:
            found[unique_id] = Wrong(today, 1 if before is None else before.times + 1, run)
    return found


def changing(known: Mapping[str, Wrong], today: date) -> frozenset[str]:
    """Return the nodes with which nothing is assumed."""
    return frozenset(unique_id for unique_id, wrong in _recent(known, today).items() if wrong.times >= ENOUGH)


def _recent(known: Mapping[str, Wrong], today: date) -> dict[str, Wrong]:
    return {
        unique_id: wrong for unique_id, wrong in known.items() if today - wrong.day < timedelta(days=DAYS)
    }


def dump_wrong(known: Mapping[str, Wrong]) -> bytes:
    """Return it as an object of the store."""
    return json.dumps(
        {
            unique_id: [wrong.day.isoformat(), wrong.times, wrong.run]
            for unique_id, wrong in sorted(known.items())
        }
    ).encode()


def load_wrong(data: bytes) -> dict[str, Wrong]:
    """Return what :func:`dump_wrong` wrote, nothing where it is something else: only time depends on it."""
    try:
        return {
            str(unique_id): Wrong(date.fromisoformat(day), int(times), str(run))
            for unique_id, (day, times, run) in json.loads(data).items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}
