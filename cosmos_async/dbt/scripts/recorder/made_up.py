"""
Values that nobody knows before the run.

A job that is not sent has no row count, no id that will ever exist and perhaps rows that nobody can foretell. dbt asks
for these to say what became of a node, and templates may ask, too: dbt's own code gets something plausible, and a
template that looks at it leaves its node to real dbt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from ..common import need
from ..recording.jobs import Result
from .session import Recording

#: What Python does to a value without naming an attribute of it.
_OPERATIONS = (
    *("__str__", "__repr__", "__format__", "__bytes__", "__hash__", "__bool__", "__int__", "__float__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__index__", "__complex__", "__round__"),
    *("__len__", "__iter__", "__contains__", "__getitem__", "__reversed__", "__call__", "__neg__", "__abs__"),
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__mod__", "__rmod__"),
    *("__truediv__", "__rtruediv__", "__floordiv__", "__rfloordiv__", "__pow__", "__rpow__"),
)
#: Handing a value on tells nothing of it; Jinja asks for its class then.
_HANDED_ON = frozenset(("__class__",))
#: Whether there is a response, too.
_RESPONSE = frozenset((*_HANDED_ON, "__bool__"))
#: What is known of the answer to a query that was sent, or asked for columns only: its guard repeats it.
_REPEATED = frozenset((*_RESPONSE, "code", "rows_affected"))
#: What is known of a table without rows.
_NO_ROWS = frozenset((*_HANDED_ON, "rows", "__bool__", "__len__", "__iter__"))


class MadeUp:
    """
    Stands for a value, and tells when somebody looks at it.

    Args:
        value: Something plausible.
        looks: Is told what of it is looked at, and may end that with an error.
        known: What may be looked at all the same.
    """

    __slots__ = ("_known", "_looks", "_value")

    def __init__(self, value: Any, looks: Callable[[str], Any], known: Iterable[str] = ()) -> None:
        for name, own in (("_value", value), ("_looks", looks), ("_known", frozenset(known))):
            object.__setattr__(self, name, own)

    def __getattribute__(self, name: str) -> Any:
        return getattr(_behind(self, name), name)


_part = object.__getattribute__  # of what stands for a value itself


def _behind(made_up: MadeUp, name: str) -> Any:
    """Return the value that is stood for, after telling of *name*."""
    if name not in _part(made_up, "_known"):
        _part(made_up, "_looks")(name)
    return _part(made_up, "_value")


def _operation(name: str) -> Callable[..., Any]:
    def operation(made_up: MadeUp, *args: Any) -> Any:
        value = _behind(made_up, name)
        return bool(value) if name == "__bool__" else getattr(value, name)(*args)

    return operation


for _name in _OPERATIONS:
    setattr(MadeUp, _name, _operation(_name))


class _Partitions:
    """All that dbt's macro for new partitions takes from its query: ``columns[0].values()``."""

    def __init__(self, looks: Callable[[str], Any]) -> None:
        self.rows: dict[Any, Any] = {}
        self._looks = looks

    @property
    def columns(self) -> list[MadeUp]:
        """The one column."""
        return [MadeUp(self, self._looks, {*_HANDED_ON, "values"})]

    def values(self) -> MadeUp:
        """Stands for its values; whoever copies partitions knows it."""
        return MadeUp([], self._looks)


class MadeUpResults:
    """Replaces what dbt hands on of a job: its response, and its rows as a table and as a list."""

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._context = recording.context
        self._jobs = recording.wire.jobs

    def install(self) -> None:
        """Put everything in place."""
        from dbt_common.clients import agate_helper  # whatever dbt executes needs it

        need(agate_helper, "as_matrix")
        as_matrix = agate_helper.as_matrix

        @functools.wraps(as_matrix)
        def copying(table: Any) -> Any:
            """dbt's macro for statements keeps the rows twice, as a table and as a list."""
            if type(table) is not MadeUp:
                return as_matrix(table)
            with self._journal.while_doing(rendering=False):
                rows = as_matrix(table)
            return rows if "rows" in _part(table, "_known") else MadeUp(rows, _part(table, "_looks"))

        agate_helper.as_matrix = copying

    def of(self, response: Any, table: Any, *, fetch: bool) -> tuple[Any, Any]:
        """
        Return what dbt's ``execute`` returns, such that templates cannot use what is made up of it.

        Args:
            response: The adapter's response.
            table: The rows.
            fetch: Whether they were asked for.
        """
        result = self._jobs.result_of(response.job_id)
        guarded = result in (Result.READ, Result.FORETOLD)
        response = MadeUp(response, self._response, _REPEATED if guarded else _RESPONSE)
        if not fetch or guarded:
            return response, table
        if result is Result.PARTITIONS:
            return response, MadeUp(_Partitions(self._partitions), self._partitions, {*_HANDED_ON, "columns"})
        return response, MadeUp(table, self._table, _NO_ROWS if result is Result.NO_ROWS else _HANDED_ON)

    def _response(self, name: str) -> None:
        what = "the whole of" if name.startswith("__") or name == "to_dict" else f"{name} in"
        self._looked(
            f"It uses {what} BigQuery's answer to a statement, which is known once that has been run."
        )

    def _table(self, name: str) -> None:
        if self._journal.doing("test"):
            self._looked("It looks at the rows of a test's query itself.")
        self._looked("It uses the result of a script that may also change something.")

    def _partitions(self, name: str) -> None:
        self._looked("It looks at the partitions of its new data itself.")

    def _looked(self, reason: str) -> None:
        # While no template is being rendered it is dbt itself, which makes a result of it.
        if self._journal.doing("rendering"):
            self._context.leave_to_dbt(reason)
