"""
What differs between two equal builds, taken out of texts before they are compared.

Only what is known to be of one build is replaced: its dataset, its invocation ids, and points in time within one of its
runs. A time before or after a run (a microbatch's window, a column of the data) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.fidelity.inserted import comparable

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:?00| ?UTC)?")
_HEAD = len("2026-11-22T18:22:11")
#: Temporary relations' names are made from the time: dbt's __dbt_tmp_20261122..., __dbt_tmp182211123456, a package's
#: __tmp_20261122182211123456, to which dbt appends another time.
_TEMPORARY = re.compile(r"__(?:dbt_tmp_?\d+|tmp_20\d{18,})")
#: The last line of dbt's error messages: a file that dbt has left where it ran. In the triggerer there is none.
_COMPILED = re.compile(r"\s*compiled code at \S+")
#: Google's client names a failed job in its message, at the end and in the address it has asked.
_JOB = re.compile(r"(?<=/queries/)[\w-]+|(?<=Job ID: )[\w-]+")
_MARGIN = timedelta(seconds=2)


@dataclass(frozen=True)
class Span:
    """One run of a build: from when to when, and its id."""

    begun: datetime  #: UTC
    ended: datetime
    invocation_id: str
    later: timedelta = timedelta()  #: what dbt's clock was ahead

    def has(self, at: datetime) -> bool:
        """Whether *at* lies within the run, by the machine's clock or by dbt's."""
        return any(
            self.begun + ahead - _MARGIN <= at <= self.ended + ahead + _MARGIN
            for ahead in (timedelta(), self.later)
        )


@dataclass
class Names:
    """The names and times of one build, to be replaced by the same words as those of another."""

    datasets: tuple[str, ...]  #: each becomes <dataset>, <dataset 2>, ...
    spans: list[Span] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)  #: folders of this build and what stands for them
    volatile: str = ""  #: a pattern of columns that hold facts of one build: how long it took, where it ran

    def text(self, text: str) -> str:
        """Return *text* without what belongs to this build alone."""
        for path, word in sorted(self.paths.items(), key=lambda item: -len(item[0])):
            text = text.replace(path, word)
        # The longer names first: the target's dataset begins those of its companions.
        numbered = sorted(enumerate(self.datasets, 1), key=lambda item: -len(item[1]))
        for number, dataset in numbered:
            text = text.replace(dataset, "<dataset>" if number == 1 else f"<dataset {number}>")
        for number, span in enumerate(self.spans, 1):
            if span.invocation_id:
                text = text.replace(span.invocation_id, f"<invocation {number}>")
        text = _JOB.sub("<job>", _COMPILED.sub("", _TEMPORARY.sub("__dbt_tmp", text)))
        return _TIME.sub(self._time, text)

    def written(self, text: str, *, any_order: bool = False) -> str:
        """
        Return a write as :meth:`text` has it, and without the values of volatile columns.

        Args:
            text: A job's options in a line, then its SQL.
            any_order: Whether rows of literals in it come in the order in which nodes ended.
        """
        options, line, sql = self.text(text).partition("\n")
        if not self.volatile:
            return options + line + sql
        return options + line + comparable(sql, volatile=self.is_volatile, any_order=any_order)

    def value(self, value: Any) -> Any:
        """Return a JSON value with every text in it as :meth:`text` has it, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return value

    def until_now(self) -> Names:
        """Return these names with the last run taken to last until now."""
        *before, last = self.spans
        return replace(self, spans=[*before, replace(last, ended=datetime.now(timezone.utc))])

    def is_volatile(self, column: str) -> bool:
        """Whether a column's values belong to one build alone."""
        return bool(self.volatile and re.fullmatch(self.volatile, column))

    def moment(self, at: datetime) -> str | None:
        """Return which run *at* lies in, None for a time that is not of a run."""
        # Runs follow one another at once: the later one, as margins overlap.
        for number in range(len(self.spans), 0, -1):
            if self.spans[number - 1].has(at):
                return f"<time of run {number}>"
        return None

    def _time(self, match: re.Match[str]) -> str:
        digits = match[0][:_HEAD].replace("T", " ")
        try:
            at = datetime.fromisoformat(digits).replace(tzinfo=timezone.utc)
        except ValueError:
            return match[0]
        return self.moment(at) or match[0]


def first_difference(theirs: str, ours: str, *, around: int = 60) -> str:
    """Return the place where two texts part, in a line."""
    at = next((at for at, (one, other) in enumerate(zip(theirs, ours)) if one != other), None)
    if at is None:
        at = min(len(theirs), len(ours))
    start = max(0, at - around)
    return f"dbt: …{theirs[start : at + around]!r}  we: …{ours[start : at + around]!r}"


def differing_keys(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterable[str]:
    """Yield the keys whose values differ, those that one side lacks included."""
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            yield key
