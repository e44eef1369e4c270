"""The gate over the event loop, and what importing the triggers may load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from blockbuster import BlockingError

import cosmos_async.triggers.event_loop.clock
from cosmos_async.triggers.event_loop import threads


async def test_the_gate_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read on the event loop is caught; else every other green test would prove nothing."""
    source = "async def block():\n    with open('/etc/hostname') as file:\n        file.read()\n"
    code = compile(source, cosmos_async.triggers.event_loop.clock.__file__, "exec")
    namespace: dict[str, object] = {}
    exec(code, namespace)

    with pytest.raises(BlockingError):
        await namespace["block"]()  # type: ignore[operator]


async def test_a_thread_may_block() -> None:
    """This is where Airflow's synchronous code goes."""
    assert await threads.in_thread(lambda: time.sleep(0) or "done") == "done"
    assert await asyncio.to_thread(lambda: time.sleep(0) or "done") == "done"


def test_importing_the_triggers_loads_nothing_that_blocks() -> None:
    """No dbt, no synchronous Google client, no requests, beyond what Airflow itself loads; and none of the operators."""
    program = (
        "import sys, airflow.triggers.base; before = set(sys.modules)\n"
        "import cosmos_async.triggers.dbt, cosmos_async.triggers.teardown\n"
        "print([m for m in ('dbt', 'requests', 'google.cloud', 'google.auth', 'cosmos_async.operators', "
        "'cosmos_async.config', 'cosmos_async.dag', 'yaml_never') if m in sys.modules and m not in before])"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip().splitlines()[-1] == "[]"
