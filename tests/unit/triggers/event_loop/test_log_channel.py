"""Lines that nobody reads do not block the event loop: Airflow's supervisor may be waiting for it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cosmos_async.triggers.event_loop import log_channel
from cosmos_async.triggers.event_loop.log_channel import ChannelledLog, channelled, written

structlog = pytest.importorskip("structlog")  # Airflow 3's
TASK: contextvars.ContextVar[str] = contextvars.ContextVar("task", default="nobody's")
MANY = 3000  # lines, of which a socket holds some hundreds


@pytest.fixture
def ends() -> Iterator[tuple[Any, socket.socket]]:
    """The triggerer's socket for its log, opened as Airflow does, and the supervisor's end of it."""
    ours, theirs = socket.socketpair()
    with theirs, os.fdopen(ours.detach(), "wb", buffering=0) as file:
        yield file, theirs
    log_channel._channels.clear()


def logger(file: Any) -> Any:
    """A logger as Airflow 3 configures it: a line is bytes, with what the context says."""

    def line(_: Any, __: str, event: dict[str, Any]) -> bytes:
        return f"{TASK.get()} {event['event']}".encode()

    return structlog.wrap_logger(structlog.BytesLogger(file), processors=[line])


def read(end: socket.socket, lines: int) -> list[str]:
    """Read so many lines."""
    with end.makefile("rb") as file:
        return [file.readline().decode().strip() for _ in range(lines)]


async def test_a_line_waits_for_room_instead_of_blocking(ends: tuple[Any, socket.socket]) -> None:
    """All of them come, in their order, and each in its own task's context."""
    ours, theirs = ends
    log = channelled(logger(ours))
    late = threading.Event()

    def unblock() -> None:  # else this test would hang
        late.set()
        while theirs.recv(65536):
            pass

    blocked = threading.Timer(10, unblock)
    blocked.daemon = True
    blocked.start()

    async def write(name: str) -> None:
        TASK.set(name)
        for number in range(MANY // 2):
            log.info(f"line {number} {'x' * 200}")
            if number % 100 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*(asyncio.create_task(write(name)) for name in ("a", "b")))

    blocked.cancel()
    assert not late.is_set(), "the event loop was blocked"
    reading = asyncio.create_task(asyncio.to_thread(read, theirs, MANY))
    await written(log)
    lines = [line.split(" x")[0] for line in await reading]
    for name in ("a", "b"):
        assert [line for line in lines if line.startswith(name)] == [
            f"{name} line {number}" for number in range(MANY // 2)
        ]


async def test_a_line_is_written_at_once_where_there_is_room(
    ends: tuple[Any, socket.socket],
) -> None:
    """As it was before."""
    ours, theirs = ends
    log = channelled(logger(ours))

    for level in ("info", "warning", "error"):
        getattr(log, level)("now")

    assert await asyncio.to_thread(read, theirs, 3) == ["nobody's now"] * 3
    assert log.bind is not None, "what Airflow's own code calls is there"


async def test_nobody_waits_for_ever_for_lines(
    ends: tuple[Any, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that has died reads no more."""
    monkeypatch.setattr(log_channel, "PATIENCE", 0.05)
    log = channelled(logger(ends[0]))
    for _ in range(MANY):
        log.info("x" * 200)

    await written(log)


@pytest.mark.parametrize("kind", ["logging", "file"])
async def test_other_logs_stay_as_they_are(kind: str, tmp_path: Any) -> None:
    """Airflow 2 has its own queue and thread; a file does not block."""
    with (tmp_path / "log").open("wb", buffering=0) as file:
        log = logging.getLogger("airflow.task") if kind == "logging" else logger(file)

        assert channelled(log) is log
        assert not isinstance(log, ChannelledLog)
        await written(log)


async def test_a_long_message_comes_in_parts(ends: tuple[Any, socket.socket]) -> None:
    """The SQL of a model may be longer than what a socket with room takes at once."""
    ours, theirs = ends
    log = channelled(logger(ours))
    sql = "\n".join(f"select {number} as n{'ä' * 90}" for number in range(10_000))
    text = asyncio.create_task(asyncio.to_thread(theirs.makefile("r", encoding="utf-8").read))

    log.info(sql)
    log.info("x" * (log_channel.LONGEST + 1))
    log.info("the end")
    await written(log)
    ours.close()

    lines = [line.removeprefix("nobody's ") for line in (await text).splitlines()]
    assert lines == [*sql.splitlines(), "x" * log_channel.LONGEST, "x", "the end"]
