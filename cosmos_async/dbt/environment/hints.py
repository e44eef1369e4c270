"""What the errors of dbt 2 mean where it is run by Airflow, and the way out."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from cosmos_async.dbt.environment.program import FUSION, DbtProgram

_OLD_STYLE = re.compile(r"autofix|Deprecated test arguments", re.IGNORECASE)
_FLAGS = re.compile(r"Unexpected 'config' key")
_LOGIN = re.compile(r"\bdbt login\b|\blog(ged)? in\b", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"HTTP error|failed to lookup address|connection refused|no such host|i/o timeout|proxyconnect",
    re.IGNORECASE,
)


def hint(program: DbtProgram, words: str, env: Mapping[str, str]) -> str:
    """
    Return what to do about an error of dbt 2, "" where nothing is known beyond its words.

    Args:
        program: The dbt.
        words: Its own.
        env: Its environment.
    """
    if _OLD_STYLE.search(words):
        return (
            f"{program.name} refuses what dbt 1 only calls deprecated, such as arguments of tests that do not stand below "
            "`arguments:`. `dbt-autofix deprecations` mends the project's files; dbt Core 1 runs it as it is."
        )
    if _FLAGS.search(words):
        return "dbt 2 knows no `config` in profiles.yml: move its flags below `flags:` of dbt_project.yml."
    if _LOGIN.search(words):
        return (
            f"{program.name} wants somebody to log in, which a worker cannot do. "
            + ("Use dbt Core, which wants none" if program.product == FUSION else "Log in on the worker")
            + ", or give it dbt's service token in its environment (env in operator_args)."
        )
    if not _UNREACHABLE.search(words):
        return ""
    folder = driver_folder(env)
    if not any(folder.glob("*/*adbc_driver_bigquery-*")):
        return (
            f"{program.name} has no BigQuery driver in {folder}, and downloads it before its first request. Where workers "
            "have no way out, run `dbt system install-drivers` while their image is made, and keep that folder in it "
            "(XDG_CACHE_HOME names another one)."
        )
    proxies = [name for name in ("HTTPS_PROXY", "https_proxy") if env.get(name)]
    through = f" through {' and '.join(proxies)}" if proxies else ""
    return (
        f"{program.name} could not reach a server{through}. Workers need a way to bigquery.googleapis.com, "
        "bigquerystorage.googleapis.com and the credentials' token endpoint, or HTTPS_PROXY in dbt's environment."
    )


def driver_folder(env: Mapping[str, str]) -> Path:
    """Return where dbt 2 keeps its drivers, below a folder for each platform."""
    home = Path(env.get("HOME") or Path.home())
    usual = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    named = env.get("XDG_CACHE_HOME", "")
    # As the library that dbt 2 asks: a relative folder does not count.
    cache = Path(named) if named.startswith("/") and sys.platform != "darwin" else usual
    return cache / "com.getdbt" / "adbc"
