"""
dbt 2: one program without a Python, as dbt Core 2 and dbt Fusion are.

What it is it says itself; its options and variables are those of dbt Core 2.0.0-alpha.4, read in its source as well.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_async.dbt import follow
from cosmos_async.dbt.process import Processes
from cosmos_async.exceptions import DbtError

#: The versions that were run with this version of cosmos-async.
TRIED = ("2.0.0-alpha.4",)
CORE, FUSION = "dbt-core", "dbt-fusion"
#: dbt 1 writes a table of its packages; dbt 2 one line, such as "dbt-core 2.0.0-alpha.4".
_SAYS = re.compile(rf"^({CORE}|{FUSION}|dbt) v?((\d+)\.\d+\.\d+\S*)\s*$", re.MULTILINE)
_FIRST = 2  # the oldest major version that is such a program

#: What dbt 2 is told by its environment, so that it is not part of the invocation which `dbt retry` repeats.
_SETTINGS = {
    # They ask servers of dbt Labs, which workers may not reach: the cache of results, and the look for a newer version.
    "DBT_ENGINE_MANAGE_STATE": "false",
    "DBT_DISABLE_VERSION_CHECK": "true",
}
_USAGE = "DBT_SEND_ANONYMOUS_USAGE_STATS"


@dataclass(frozen=True)
class DbtProgram:
    """A dbt that is one program, and has no Python that plans could be recorded in."""

    path: Path
    version: str  #: such as "2.0.0-alpha.4"
    product: str = CORE  #: or "dbt-fusion"

    @property
    def name(self) -> str:
        """What it calls itself, such as "dbt-core 2.0.0-alpha.4"."""
        return f"{self.product} {self.version}"

    @property
    def tried(self) -> bool:
        """Whether its requests are known, so that it can be recorded."""
        return self.product == CORE and self.version in TRIED

    def warning(self) -> str | None:
        """Return what to say of a dbt 2 that nobody has tried; None of one that was."""
        if self.tried:
            return None
        return (
            f"Warning: {self.name} was not tried with this version of cosmos-async, of dbt 2 {', '.join(TRIED)} was. Nobody here "
            "knows its requests, so setup plans nothing with it, and a worker runs it for each node."
        )

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs it, in the care of :mod:`cosmos_async.dbt.follow`: it ends with its task."""
        return [sys.executable, "-I", "-S", follow.__file__, str(self.path), *arguments]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return *env* as this dbt is to see it: what it would ask other servers for is off, its backtraces, too."""
        quiet = {name: value for name, value in env.items() if name != "RUST_BACKTRACE"}
        return {_USAGE: "false", **quiet, **_SETTINGS}


def program_at(path: Path) -> DbtProgram | None:
    """Return the dbt 2 that the program *path* is, None where it does not say that it is one."""
    lines: list[str] = []
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    try:
        finished = Processes(lines.append).run(
            [path, "--version"], cwd=Path("/"), env={**env, **_SETTINGS, _USAGE: "false"}
        )
    except DbtError:  # it cannot be started
        return None
    said = _SAYS.search("\n".join(lines)) if finished.exit_code == 0 else None
    if said is None or int(said[3]) < _FIRST:
        return None
    return DbtProgram(path, said[2], CORE if said[1] == "dbt" else said[1])
