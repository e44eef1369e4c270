"""
One argument, given to both packages: what becomes of it in each, and the verdict.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.probe.notes import AS_HERE
from tests.probe.snapshot import Snapshot, difference, moved_tasks, summary

SAME = "same"
DIFFERS = "differs"
CLEARLY = "refused clearly"
BADLY = "refused badly"
MISSING = "missing"
TOLD = "said to have no effect"
IGNORED = "silently ignored"
#: What a reader wants to know of comes first.
VERDICTS = (IGNORED, BADLY, MISSING, DIFFERS, TOLD, CLEARLY, SAME)


@dataclass(frozen=True)
class Row:
    """What was found out about one name or argument."""

    group: str
    word: str
    value: str
    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class Seen:
    """What a package makes of an argument."""

    change: dict[str, tuple[str | None, str | None]] = field(
        default_factory=dict
    )  #: against being without it
    error: Exception | None = None
    heard: tuple[str, ...] = ()  #: our warnings


def see(make: Callable[[], Snapshot], base: Snapshot) -> Seen:
    """Make something with an argument and return what differs from *base*."""
    with _bases_of_cosmos(), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            change = difference(base, make())
            told = tuple(str(one.message) for one in heard if one.category.__name__ == "ConfigWarning")
            return Seen(change, heard=told)
        except Exception as error:  # whatever a package raises is what is to be judged
            return Seen(error=error)


@contextmanager
def _bases_of_cosmos() -> Iterator[None]:
    """Restore the base classes that Cosmos changes while it makes a task, and leaves changed where that fails."""
    from cosmos.operators._asynchronous.base import DbtRunAirflowAsyncFactoryOperator
    from cosmos.operators._asynchronous.bigquery import DbtRunAirflowAsyncBigqueryOperator

    classes = (DbtRunAirflowAsyncFactoryOperator, DbtRunAirflowAsyncBigqueryOperator)
    before = [each.__bases__ for each in classes]
    try:
        yield
    finally:
        for each, bases in zip(classes, before):
            each.__bases__ = bases


def verdict(word: str, theirs: Seen, ours: Seen) -> tuple[str, str]:
    """
    Judge what became of *word*.

    Args:
        word: As its author writes it; an error has to name it.
        theirs: What Cosmos made of it.
        ours: What this package made of it.
    """
    if ours.error is not None:
        return _refusal(word, theirs, ours.error)
    if theirs.error is not None:
        return DIFFERS, f"Cosmos refuses it: {_line(theirs.error)}"
    said = next((re.sub(r" at 0x\w+", "", text) for text in ours.heard if word in text), None)
    if said is not None:
        return (DIFFERS if ours.change else TOLD), said
    if not ours.change and word in AS_HERE:
        return SAME, AS_HERE[word]
    if not ours.change:
        return (
            (IGNORED, f"Cosmos changes {summary(theirs.change)}")
            if theirs.change
            else (SAME, "no effect seen in either")
        )
    if not theirs.change:
        return DIFFERS, f"changes {summary(ours.change)}; nothing in Cosmos"
    if moved_tasks(theirs.change) != moved_tasks(ours.change):
        told = [
            ", ".join(f"{'+' if comes else '-'}{task}" for task, comes in sorted(moved_tasks(each.change)))
            or "none"
            for each in (theirs, ours)
        ]
        return DIFFERS, f"tasks in Cosmos: {told[0]}; here: {told[1]}"
    return _attributes(word, theirs, ours)


def _attributes(word: str, theirs: Seen, ours: Seen) -> tuple[str, str]:
    values = [
        {
            key.split(" ")[1]: pair[1]
            for key, pair in each.change.items()
            if key.startswith("attribute ") and key.endswith(f" {word}")
        }
        for each in (theirs, ours)
    ]
    common = values[0].keys() & values[1].keys()
    if values[0] and any(values[0][task] != values[1][task] for task in common):
        task = next(task for task in sorted(common) if values[0][task] != values[1][task])
        # Which version the project has does not matter.
        own = re.sub(r"`[0-9a-f]{16}`", "`...`", values[1][task] or "")
        return DIFFERS, f"{task} has {values[0][task]} in Cosmos, {own} here"
    return SAME, ""


def _refusal(word: str, theirs: Seen, error: Exception) -> tuple[str, str]:
    from cosmos_async.exceptions import CosmosAsyncError

    text = _line(error)
    clear = isinstance(error, CosmosAsyncError) and word in str(error)
    if theirs.error is not None and clear:
        return SAME, f"refused by both: {text}"
    return (CLEARLY if clear else BADLY), text


def _line(error: Exception) -> str:
    text = re.sub(r" at 0x\w+", "", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}"
