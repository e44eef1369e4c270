"""What a person sees while dbt runs: its last line on a terminal, every line if asked for, else nothing."""

from __future__ import annotations

import shutil
from typing import TextIO

_CLEAR = "\r\x1b[K"


class Progress:
    """
    Is given each line of dbt.

    Args:
        stream: Not the one the plan is printed on.
        verbose: Keep every line.
    """

    def __init__(self, stream: TextIO, *, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._passing = not verbose and stream.isatty()

    def __call__(self, line: str) -> None:
        """Show *line*."""
        if self._verbose:
            print(line, file=self._stream, flush=True)
        elif self._passing and line.strip():
            width = shutil.get_terminal_size().columns
            self._stream.write(_CLEAR + line.strip()[: width - 1])
            self._stream.flush()

    def clear(self) -> None:
        """Take a passing line off the terminal."""
        if self._passing:
            self._stream.write(_CLEAR)
            self._stream.flush()
