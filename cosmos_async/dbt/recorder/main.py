"""The recorder's command: prepare, run dbt once, write the recording down."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, NoReturn

FORMAT = 1
REFUSED = 3  # the exit code for a dbt or an adapter that we do not know
FAILED = 2  # dbt's own: it could not run; its message has been printed
SENTINEL = "BIGQUERY_EMULATOR_HOST"  # points nowhere until we stand between dbt and BigQuery
ENDPOINT = "COSMOS_ASYNC_BIGQUERY_ENDPOINT"


def main(arguments: list[str]) -> NoReturn:
    """Record what dbt would do and exit: 0 when every selected node was planned or left to dbt."""
    if len(arguments) < 3 or arguments[0] != "--out" or arguments[2] != "--":
        raise SystemExit("usage: recorder --out RECORDING.json -- DBT_ARGUMENTS...")
    from .inside import (  # type: ignore[import-not-found]  # loaded by __main__
        follow_parent,
        hide_location_lookups,
    )

    follow_parent()
    hide_location_lookups()
    out, dbt_arguments = os.path.abspath(arguments[1]), arguments[3:]
    versions = _versions()
    recording, flags = _install(os.path.join(os.path.dirname(out), "uploads"))
    # Only now may dbt find BigQuery.
    endpoint = os.environ.pop(ENDPOINT, None)
    os.environ.pop(SENTINEL, None)
    if endpoint:
        os.environ[SENTINEL] = endpoint
        # Behind a private endpoint Google's client may look in vain for public hosts it can do without.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    _run(dbt_arguments)
    _write(out, _document(recording, versions, dbt_arguments, flags()))
    raise SystemExit(0)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    packages = ("dbt-core", "dbt-bigquery", "google-cloud-bigquery")
    try:
        found = {package: version(package) for package in packages}
    except PackageNotFoundError as error:
        _refuse(f"{error.name} is not installed for {sys.executable}. Install dbt-bigquery there.")
    print("[cosmos-async] planning with " + ", ".join(f"{name} {found[name]}" for name in found), flush=True)
    for package in ("dbt-core", "dbt-bigquery"):
        major, minor = (int(part) for part in found[package].split(".")[:2])
        if major != 1 or minor < 9:
            _refuse(
                f"{package} {found[package]} is not known to this version of cosmos-async. Install "
                "dbt-core 1.9 to 1.11 and dbt-bigquery 1.9 to 1.12, or update cosmos-async."
            )
    return found


def _refuse(message: str) -> NoReturn:
    print(f"Error: {message}", flush=True)
    raise SystemExit(REFUSED)


def _install(uploads: str) -> Any:
    try:
        from dbt.flags import get_flags
        from dbt_common.events.contextvars import get_node_info
    except ImportError as error:
        _refuse(f"This dbt is built differently from those that cosmos-async knows: {error}")
    from .journal import RUN, Journal
    from .overlay import Overlay
    from .patches import install
    from .session import LeftToDbt, Recording
    from .uploads import Uploads
    from .wire import Wire

    journal, overlay = Journal(), Overlay("")

    def node() -> str:
        return str(get_node_info().get("unique_id") or RUN)

    def leave_to_dbt(reason: str) -> None:
        unique_id = node()
        journal.flag(unique_id, reason)
        if unique_id != RUN:
            raise LeftToDbt(reason)

    wire = Wire(journal, overlay, Uploads(uploads), node=node, leave_to_dbt=leave_to_dbt)
    recording = Recording(journal, overlay, wire)
    install(recording)
    return recording, get_flags


def _run(arguments: list[str]) -> None:
    from dbt.cli.exceptions import DbtUsageException
    from dbt.cli.main import dbtRunner

    # dbt writes it into its artifacts as the invocation's command.
    sys.argv = ["dbt", *arguments]
    result = dbtRunner().invoke(arguments)
    if result.exception is None:
        return
    if isinstance(result.exception, DbtUsageException):
        print(f"Error: {result.exception}", flush=True)  # click would have shown it
    elif not type(result.exception).__module__.startswith("dbt"):
        raise result.exception
    raise SystemExit(FAILED)


def _document(recording: Any, versions: dict[str, str], arguments: list[str], flags: Any) -> dict[str, Any]:
    from dbt_common.invocation import get_invocation_id, get_invocation_started_at

    from .describe import describe_run

    journal = recording.journal
    if recording.config is None:
        print("Error: this dbt command builds nothing, so there is nothing to plan.", flush=True)
        raise SystemExit(FAILED)
    started_at = get_invocation_started_at()
    return {
        "format": FORMAT,
        "dbt_version": versions["dbt-core"],
        "adapter_version": versions["dbt-bigquery"],
        "invocation_id": get_invocation_id(),
        "started_at": None if started_at is None else started_at.isoformat(),
        "arguments": arguments,
        **describe_run(recording.config, flags),
        "run": {**journal.run, "listings": journal.listings, "built": _built(recording.overlay)},
        "nodes": journal.nodes,
        "events": journal.events,
        "flags": journal.flags,
        "batches": journal.batches,
    }


def _built(overlay: Any) -> list[Any]:
    return [[list(path), unique_id] for path, unique_id in sorted(overlay.built.items())]


def _write(path: str, document: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, default=str)
    os.replace(temporary, path)
