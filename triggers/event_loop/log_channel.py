"""
Log lines that never block the event loop of the triggerer of Airflow 3.1 and later.

There the process that runs triggers sends its log through a socket to the process that supervises it, which reads it between
other things. A line that finds the socket full blocks the whole event loop. If the supervisor just then sends something large,
such as the serialized DAG that comes with each task that starts in the triggerer, it waits for this event loop to read it, and
both wait for ever (seen with Airflow 3.3.2 and a DAG of a thousand tasks). So lines wait here until the socket has room.

Airflow 3.0 sends no serialized DAG; its lines go through Python's own logging, and are written as they come.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import select
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

#: Seconds that a trigger waits at its end until its lines are written.
PATIENCE = 10.0
#: Characters of one line. What is longer comes in several: a socket with room takes some 180 kB at once (Linux' default
#: buffer), and a character may be four bytes.
LONGEST = 30_000


class LogChannel:
    """
    The socket of a triggerer's log, and the lines that wait for it.

    Args:
        descriptor: The socket's file descriptor, which something else writes to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lines: deque[Callable[[], Any]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # which tells when there is room again
        self._empty = asyncio.Event()

    def write(self, line: Callable[[], Any]) -> None:
        """
        Write a line, after all that wait, as soon as there is room.

        Args:
            line: Writes it.
        """
        if not self._lines and self._has_room():
            line()
            return
        self._lines.append(line)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._empty = loop, asyncio.Event()
            loop.add_writer(self._descriptor, self._write_waiting)

    async def written(self) -> None:
        """Wait until the lines are written that wait now, with those that come meanwhile; some seconds at most."""
        if self._lines:
            # Else they are written later, or by nobody: nothing else depends on them.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._empty.wait(), PATIENCE)

    def _has_room(self) -> bool:
        # Linux calls a stream socket writable while not more than a quarter of its buffer is in use.
        return any(flags & select.POLLOUT for _, flags in self._poll.poll(0))

    def _write_waiting(self) -> None:
        while self._lines and self._has_room():
            self._lines.popleft()()
        if not self._lines and self._loop is not None:
            self._loop.remove_writer(self._descriptor)
            self._loop = None
            self._empty.set()


class ChannelledLog:
    """
    A trigger's log whose lines go through a channel.

    Args:
        log: Airflow's.
        channel: The socket that it writes to.
    """

    def __init__(self, log: Any, channel: LogChannel) -> None:
        self._log = log
        self.channel = channel  #: where its lines wait

    def info(self, message: str) -> None:
        """Write a line."""
        self._add(self._log.info, message)

    def warning(self, message: str) -> None:
        """Write a line."""
        self._add(self._log.warning, message)

    def error(self, message: str) -> None:
        """Write a line."""
        self._add(self._log.error, message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)  # whatever Airflow's own code calls

    def _add(self, write: Callable[[str], Any], message: str) -> None:
        for part in _parts(message):
            # Airflow finds a line's task in the context.
            self.channel.write(partial(contextvars.copy_context().run, write, part))


def _parts(message: str) -> Iterator[str]:
    """Yield a message in parts that a socket takes at once, cut where a line of it ends if there is such a place."""
    while len(message) > LONGEST:
        cut = message.rfind("\n", 0, LONGEST)
        cut = cut if cut > 0 else LONGEST
        yield message[:cut]
        message = message[cut:].removeprefix("\n")
    yield message


_channels: dict[int, LogChannel] = {}  # by file descriptor; a triggerer has one


def channelled(log: Any) -> Any:
    """Return *log*, or one that writes to it when there is room, where that may block: through Airflow 3's socket."""
    descriptor = _socket_of(log)
    if descriptor is None:
        return log
    if descriptor not in _channels:
        _channels[descriptor] = LogChannel(descriptor)
    return ChannelledLog(log, _channels[descriptor])


async def written(log: Any) -> None:
    """Wait until what was written to a log has gone to Airflow, see :meth:`LogChannel.written`."""
    if isinstance(log, ChannelledLog):
        await log.channel.written()


def _socket_of(log: Any) -> int | None:
    """Return the file descriptor that a structlog logger writes to, None where it is no socket, or another kind of logger."""
    try:
        file = log.bind()._logger._file
        descriptor = int(file.fileno())
        return descriptor if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else None
    except (AttributeError, TypeError, OSError, ValueError):
        return None
