"""The recorder's command: prepare, run dbt once, write the recording down."""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NoReturn

from ..common import (
    end_where_a_thread_fails,
    follow_parent,
    hide_location_lookups,
    import_client,
    pin_invocation,
    split,
)
from ..partial_invocation import Part, keep
from .versions import refusal, warning

FORMAT = 1
REFUSED = 3  # the exit code for a dbt or an adapter that we do not know
FAILED = 2  # dbt's own: it could not run; its message has been printed
PARSED = "parsed"  # beside the recording: the parsed project, for those who plan or run a part of it later
SENTINEL = "BIGQUERY_EMULATOR_HOST"  # points nowhere until we stand between dbt and BigQuery
ENDPOINT = "COSMOS_ASYNC_BIGQUERY_ENDPOINT"


def main(arguments: list[str]) -> NoReturn:
    """Record what dbt would do and exit: 0 when every selected node was planned or left to dbt."""
    options, dbt_arguments = split(arguments, "--out", "--part", "--changing")
    follow_parent()
    hide_location_lookups()
    end_where_a_thread_fails()
    out, of = os.path.abspath(options["--out"]), None
    versions = _versions()
    if "--part" in options:
        gc.disable()  # it lives for seconds, and what it makes it needs to the end
    import_client()
    if "--part" in options:
        of = Part.read(options["--part"])
        of.narrow()
    else:
        _warn(versions)  # once a run
        # What dbt calls the beginning is several moments; those who run a part of this run later know one.
        pin_invocation(None, datetime.now(timezone.utc).isoformat())
    uploads = os.path.join(os.path.dirname(out), "uploads")
    recording, flags = _install(uploads, late=of is not None, assumes=_assumes(options.get("--changing")))
    # Only now may dbt find BigQuery.
    endpoint = os.environ.pop(ENDPOINT, None)
    os.environ.pop(SENTINEL, None)
    if endpoint:
        os.environ[SENTINEL] = endpoint
        # Behind a private endpoint Google's client may look in vain for public hosts it can do without.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    manifest = of and of.manifest()
    if of is not None and len(of.unique_ids) > 1:
        gc.freeze()  # what was made so far is needed to the end
        gc.enable()
    _run(dbt_arguments, manifest)
    _write(out, _document(recording, versions, dbt_arguments, flags()))
    if of is None:
        path = os.path.join(os.path.dirname(out), PARSED)
        keep(recording.config, flags(), path, recording.journal.relations)
    raise SystemExit(0)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    packages = ("dbt-core", "dbt-bigquery", "google-cloud-bigquery")
    try:
        found = {package: version(package) for package in packages}
    except PackageNotFoundError as error:
        _refuse(f"{error.name} is not installed for {sys.executable}. Install dbt-bigquery there.")
    print("[cosmos-async] planning with " + ", ".join(f"{name} {found[name]}" for name in found), flush=True)
    refused = refusal(found)
    if refused is not None:
        _refuse(refused)
    return found


def _warn(found: dict[str, str]) -> None:
    warned = warning(found)
    if warned is not None:
        print(f"[cosmos-async] {warned}", flush=True)


def _refuse(message: str) -> NoReturn:
    print(f"Error: {message}", flush=True)
    raise SystemExit(REFUSED)


def _assumes(changing: str | None) -> Callable[[str], bool]:
    """
    Return what tells of a node whether it may be planned by what is there now, though this run changes that first.

    Args:
        changing: A file with the unique ids of those that may not; without it none may.
    """
    if changing is None:
        return lambda unique_id: False
    with open(changing, encoding="utf-8") as file:
        known = frozenset(json.load(file))
    return lambda unique_id: unique_id not in known


def _install(uploads: str, *, late: bool, assumes: Callable[[str], bool]) -> Any:
    try:
        from dbt.flags import get_flags
        from dbt_common.events.contextvars import get_node_info
    except ImportError as error:
        _refuse(f"This dbt is built differently from those that cosmos-async knows: {error}")
    from ..recording.journal import RUN, Journal
    from ..recording.node_context import NodeContext
    from ..recording.overlay import Overlay
    from ..recording.uploads import Uploads
    from ..recording.wire import Wire
    from .patches import install
    from .session import LeftToDbt, Recording

    def node() -> str:
        return str(get_node_info().get("unique_id") or RUN)

    journal, overlay = Journal(), Overlay("", late=late, node=node)

    def leave(reason: str, *, for_later: bool) -> None:
        unique_id = node()
        # What cannot be planned now that the nodes before it are built never can.
        journal.flag(unique_id, reason, late=for_later and not late)
        if unique_id != RUN:
            raise LeftToDbt(reason)

    context = NodeContext(
        journal,
        overlay,
        node=node,
        leave_to_dbt=functools.partial(leave, for_later=False),
        leave_for_later=functools.partial(leave, for_later=True),
        assumes=assumes,
    )
    recording = Recording(context, Wire(context, Uploads(uploads)))
    install(recording)
    return recording, get_flags


def _run(arguments: list[str], manifest: Any) -> None:
    from dbt.cli.exceptions import DbtUsageException
    from dbt.cli.main import dbtRunner

    # dbt writes it into its artifacts as the invocation's command.
    sys.argv = ["dbt", *arguments]
    result = dbtRunner(manifest=manifest).invoke(arguments)
    if result.exception is None:
        return
    if isinstance(result.exception, DbtUsageException):
        print(f"Error: {result.exception}", flush=True)  # click would have shown it
    elif not isinstance(result.exception, Exception):
        raise result.exception  # interrupted
    elif not type(result.exception).__module__.startswith("dbt"):
        # dbt has shown it, and then where it happened: so many lines that nobody sees the first any more.
        print(f"Encountered an error:\n{result.exception}", flush=True)
    raise SystemExit(FAILED)


def _document(recording: Any, versions: dict[str, str], arguments: list[str], flags: Any) -> dict[str, Any]:
    from dbt_common.invocation import get_invocation_id, get_invocation_started_at

    from .describe import describe_run

    journal = recording.journal
    if recording.config is None:
        print(
            "Error: dbt selected no node, so there is nothing to plan. Check select, exclude and selector.",
            flush=True,
        )
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
        "run": {
            **journal.run,
            "listings": journal.listings,
            "routines": journal.routines,
            "built": _built(recording.overlay),
        },
        "nodes": journal.nodes,
        "events": journal.events,
        "flags": journal.flags,
        "late": sorted(journal.late),
        "batches": journal.batches,
        "moments": journal.moments,
        "temporaries": journal.temporaries,
        "environment": sorted(journal.environment),
        "once": journal.once,
        "ephemerals": journal.ephemerals,
        "inherited": sorted(journal.inherited),
        "macros": journal.macros,
    }


def _built(overlay: Any) -> list[Any]:
    return [[list(path), unique_id] for path, unique_id in sorted(overlay.built.items())]


def _write(path: str, document: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, default=str)
    os.replace(temporary, path)
