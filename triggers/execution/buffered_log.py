"""
The log of a task that Airflow has not started yet: lines are kept until there is one to write them to.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

from cosmos_async.triggers.jobs.context import Log


class BufferedLog:
    """The log of a task that Airflow has not started: its lines are kept until there is one to write them to."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._write: Callable[[str, str], None] | None = None

    def follow(self, log: Log) -> None:
        """Write to *log* from now on, all that was kept first; as the task that calls this, whichever line comes later."""
        context = contextvars.copy_context()  # Airflow finds a line's task in it

        def write(level: str, message: str) -> None:
            context.run(getattr(log, level), message)

        self._write = write
        for level, message in self._lines:
            getattr(log, level)(message)
        self._lines.clear()

    def keep(self) -> None:
        """Keep the lines from now on, as the task's trigger has gone."""
        self._write = None

    def _add(self, level: str, message: str) -> None:
        if self._write is None:
            self._lines.append((level, message))
        else:
            self._write(level, message)

    def info(self, message: str) -> None:
        """Keep or write a line."""
        self._add("info", message)

    def warning(self, message: str) -> None:
        """Keep or write a line."""
        self._add("warning", message)

    def error(self, message: str) -> None:
        """Keep or write a line."""
        self._add("error", message)
