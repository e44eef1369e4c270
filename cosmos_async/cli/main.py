"""
``cosmos-async``: commands, exit codes, and how a command ends.

0: done. 1: it could not be done, and the reason was printed. 2: the command line is wrong. 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from cosmos_async._version import __version__
from cosmos_async.cli import plan
from cosmos_async.exceptions import CosmosAsyncError

FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command and return its exit code.

    Args:
        arguments: Without the program's name; None means this process'.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # dbt's own further options; argparse would mix them with ours.
    at = words.index("--") if "--" in words else len(words)
    reader = parser()
    options, unknown = reader.parse_known_args(words[:at])
    if unknown:
        reader.error(
            f"unknown: {' '.join(unknown)}. See `cosmos-async plan --help`; the options of `dbt build` that are not "
            "listed there come after `--`, as in `cosmos-async plan -- --empty`."
        )
    # As Ctrl-C: dbt is ended and its working copy deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = plan.run(options, words[at + 1 :])
        sys.stdout.flush()
        return code
    except CosmosAsyncError as error:
        print(f"Error: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # `| head` has seen enough. What is still buffered must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="cosmos-async",
        description="Run dbt projects on BigQuery from Airflow's triggerer. At a terminal: see what would be run.",
    )
    result.add_argument("--version", action="version", version=f"cosmos-async {__version__}")
    commands = result.add_subparsers(title="commands", metavar="COMMAND", required=True)
    plan.add_parser(commands)
    return result
