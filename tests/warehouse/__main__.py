"""
Starts the warehouse: `python -m tests.warehouse --data-dir DIR --key-file KEY.json`.

Prints one line of JSON when it is ready (endpoint, token_uri, project, key_file, emulator_pid, storage,
window), and ends without
leaving a process on SIGTERM, on SIGINT, and when the emulator ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.warehouse.child import EmulatorError
from tests.warehouse.front import PROJECT, front
from tests.warehouse.window import window


async def serve(arguments: argparse.Namespace, data_dir: Path) -> None:
    """Run until a signal asks to end; EmulatorError when the emulator ends before."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options = {"project": arguments.project, "port": arguments.port, "hold_ms": arguments.job_ms}
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            front(
                data_dir,
                python=arguments.emulator_python,
                certificates=arguments.certificates,
                **options,
            )
        )
        google = running.google
        seen_from = await stack.enter_async_context(window(google.requests))
        key = google.add_account(google.email)
        arguments.key_file.write_text(json.dumps(key, indent=2))
        for bucket in arguments.bucket:
            google.add_bucket(bucket)
        ready = {
            "endpoint": google.endpoint,
            "token_uri": key["token_uri"],
            "project": arguments.project,
            "key_file": str(arguments.key_file),
            "emulator_pid": running.emulator.process.pid,
            "storage": running.emulator.storage,
            "window": seen_from,
        }
        print(json.dumps(ready), flush=True)
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(running.emulator.ended())]
        if arguments.end_with_parent:
            waits.append(asyncio.ensure_future(parent_gone()))
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()


async def parent_gone() -> None:
    """Return when the process that started this one has ended."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  there is no event for the end of a parent
        await asyncio.sleep(1)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.warehouse", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--key-file", type=Path, required=True, help="where to write a service account's key")
    parser.add_argument(
        "--data-dir", type=Path, help="where to keep the tables; by default they are not kept"
    )
    parser.add_argument("--project", default=PROJECT)
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to create; may be repeated")
    parser.add_argument("--job-ms", type=int, default=0, help="how many milliseconds each job takes at least")
    parser.add_argument("--emulator-python", type=Path, help="the interpreter of tests/env/warehouse.txt")
    parser.add_argument(
        "--certificates", type=Path, help="serve the Storage API with this folder's certificate"
    )
    parser.add_argument(
        "--end-with-parent", action="store_true", help="end when the starting process has ended"
    )
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        data_dir = arguments.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            asyncio.run(serve(arguments, data_dir))
        except EmulatorError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
