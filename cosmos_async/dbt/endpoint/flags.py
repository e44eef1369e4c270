"""
dbt 2's global flags of one invocation, wherever they are said: arguments, environment, ``.env``, the project's ``flags``.

As ``dbt-clap-core/src/lib.rs``, ``dbt-main/src/main_impl.rs`` and ``dbt-common/src/warn_error_options`` have it (2.0.0-alpha.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_ON = frozenset(("y", "yes", "t", "true", "on", "1"))
_LINE = re.compile(r"^\s*(?:export\s+)?(DBT_\w+)\s*=[ \t]*(.*)$", re.M)
_WORD = re.compile(r"['\"]?(\w*)")
#: What concerns the results of tests among the options of warnings that are errors, or are not told.
_TESTS = re.compile(r"LogTestResult|\ball\b|\*")


class Flags:
    """
    Tells which flags are set.

    Args:
        arguments: dbt's command line.
        env: dbt's environment.
        project_dir: Where dbt is run.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], project_dir: Path) -> None:
        self._arguments = [word.split("=")[0] for word in arguments]
        self._env = {**_dotenv(project_dir / ".env"), **env}  # what is set already stays
        self._project = _project_flags(project_dir / "dbt_project.yml")

    @property
    def fail_fast(self) -> bool:
        """Whether nothing more begins once a node has failed."""
        return self._is_on("fail_fast", "-x")

    @property
    def full_refresh(self) -> bool:
        """Whether incremental models and seeds are made anew."""
        return self._is_on("full_refresh", "-f")

    @property
    def store_failures(self) -> bool:
        """Whether all tests store what they find."""
        return self._is_on("store_failures")

    @property
    def judges_warnings(self) -> bool:
        """Whether a test that warns may be told as something else: as a failure, or not at all."""
        options = (self._variable("warn_error_options"), self._project.get("warn_error_options"))
        return (
            self._is_on("warn_error")
            or "--warn-error-options" in self._arguments
            or _is_yes(str(self._project.get("warn_error")))
            or any(_TESTS.search(str(each)) for each in options if each)
        )

    def _is_on(self, name: str, short: str | None = None) -> bool:
        said = f"--{name.replace('_', '-')}" in self._arguments or short in self._arguments
        return said or _is_yes(self._variable(name))

    def _variable(self, name: str) -> str:
        known = (self._env.get(f"{prefix}{name.upper()}") for prefix in ("DBT_", "DBT_ENGINE_"))
        return next((value for value in known if value is not None), "")


def _is_yes(value: str) -> bool:
    word = _WORD.match(value)
    return word is not None and word[1].lower() in _ON


def _dotenv(path: Path) -> dict[str, str]:
    """Return dbt's variables in a file that dbt 2 reads before its command line."""
    if not path.is_file():
        return {}
    return dict(_LINE.findall(path.read_text(encoding="utf-8", errors="replace")))


def _project_flags(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    flags = document.get("flags") if isinstance(document, dict) else None
    return {str(name).lower(): value for name, value in flags.items()} if isinstance(flags, dict) else {}
