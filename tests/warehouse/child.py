"""
The emulator's process: started in its own interpreter, watched, stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("emulator.py")
#: Names the interpreter that has the emulator, where it is not the checkout's own.
PYTHON_VARIABLE = "COSMOS_ASYNC_WAREHOUSE_PYTHON"
START_SECONDS = 120
STOP_SECONDS = 10


class EmulatorError(RuntimeError):
    """The emulator could not be started, or ended by itself."""


def emulator_python() -> Path:
    """Return the interpreter of the warehouse's environment."""
    named = os.environ.get(PYTHON_VARIABLE)
    return Path(named) if named else ROOT / ".venvs" / "warehouse" / "bin" / "python"


@contextlib.asynccontextmanager
async def emulator(
    data_dir: Path, *, project: str, python: Path | None = None, certificates: Path | None = None
) -> AsyncIterator[Emulator]:
    """
    Run the emulator.

    Args:
        data_dir: Where it keeps its tables and its log; an existing one is continued.
        project: The project that exists from the start.
        python: The interpreter that has it.
        certificates: The folder with the certificate of its Storage API, which is not served otherwise.
    """
    python = python or emulator_python()
    if not python.exists():
        raise EmulatorError(
            f"There is no {python}. Make the warehouse's environment (tests/warehouse/prepare.py says how), or name "
            f"its interpreter in {PYTHON_VARIABLE}."
        )
    data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  nothing else runs yet
    log = data_dir / "emulator.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(SCRIPT),
            *("--data-dir", str(data_dir / "data")),
            *("--project", project),
            *("--parent", str(os.getpid())),
            *(("--certificates", str(certificates)) if certificates else ()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # Ctrl-C is for the front, which stops the emulator after its last job.
            start_new_session=True,
        )
    try:
        ports = await _ports(process, log)
        yield Emulator(process, f"http://127.0.0.1:{ports['port']}", log, ports["storage"])
    finally:
        await _stop(process)


class Emulator:
    """A running emulator."""

    def __init__(
        self, process: asyncio.subprocess.Process, endpoint: str, log: Path, storage: int | None
    ) -> None:
        self.process = process
        self.endpoint = endpoint  #: such as "http://127.0.0.1:4711"
        self.log = log  #: what it wrote to stderr
        self.storage = storage  #: the port of its Storage API (gRPC), None where it has none

    async def ended(self) -> None:
        """Return never; raise when the emulator has ended by itself."""
        status = await self.process.wait()
        raise EmulatorError(f"The emulator ended with status {status}; {self.log} may say why.")


async def _ports(process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except asyncio.TimeoutError:
        raise EmulatorError(f"The emulator did not start within {START_SECONDS} s; see {log}.") from None
    if not line:
        status = await process.wait()
        tail = log.read_text(errors="replace")[-2000:]  # noqa: ASYNC240  nothing else runs yet
        raise EmulatorError(f"The emulator did not start (status {status}):\n{tail}")
    ports: dict[str, Any] = json.loads(line)
    return ports


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except asyncio.TimeoutError:
        print("The emulator does not stop; it is killed.", file=sys.stderr)
        process.kill()
        await process.wait()
