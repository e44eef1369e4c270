"""
What a build wrote, node by node, read from the warehouse's log of requests.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.warehouse.engine import is_read

Json = dict[str, Any]

#: Stands for what belongs to no node: making datasets, the hooks of the run.
RUN = "(the run)"
#: dbt's own statement for a dataset, which real dbt sends again where it runs a node alone.
_MAKES_DATASET = re.compile(r"(\*/|^)\s*create schema if not exists `[^`]+`\.`[^`]+`\s*;?\s*$")
#: The id of a job that our run needs once, whichever node's task sends it: no number of a try, no position.
_SHARED = re.compile(r"cosmos_(?!.*_t\d+_\d+_).*")
#: What no job of ours has in common with dbt's, and nobody could tell from the outside.
_PLACES = ("sourceUris",)


@dataclass(frozen=True)
class Write:
    """One request that changes something; or, for a test, the query that decides."""

    text: str  #: everything that is compared, before names are taken out
    read: bool = False

    @property
    def line(self) -> str:
        """The beginning of it, for a table."""
        return " ".join(self.text.split())[:160]


def writes_of(
    requests: Iterable[Json], node: str | None = None, *, seen: set[str] | None = None
) -> dict[str, list[Write]]:
    """
    Return the writes of each node in the order in which they were sent.

    Args:
        requests: The warehouse's log.
        node: Who sent those that say nothing else about themselves; None takes the header's word.
        seen: The ids of jobs that were sent before; one that is sent again is the same job. Added to.
    """
    found: dict[str, list[Write]] = {}
    seen = set() if seen is None else seen
    loads: dict[str, tuple[str, Json]] = {}
    for request in requests:
        body = base64.b64decode(request["body"])
        if request["operation"] == "uploads.continue":
            sender, job = loads.pop(_upload_key(request), (RUN, {}))
            if job:
                found.setdefault(sender, []).append(_job(job, body))
            continue
        if request["operation"] in ("jobs.cancel", "jobs.delete") or request["operation"].startswith(
            "objects."
        ):
            continue
        if not request["operation"].startswith("jobs."):
            sender = _sender(request, {}, node)
            found.setdefault(sender, []).append(_call(request, body))
            continue
        job, data = _parts(request, body)
        configuration = job.get("configuration", job)
        if configuration.get("dryRun"):
            continue
        job_id = job.get("jobReference", {}).get("jobId")
        if job_id in seen:  # sent once more, after a lost answer
            continue
        if job_id:
            seen.add(job_id)
        sender = _sender(request, job, node)
        if request["query"].get("uploadType") == "resumable":
            loads[_upload_key(request)] = (sender, job)
            continue
        found.setdefault(sender, []).append(_job(job, data))
    return found


def _sender(request: Json, job: Json, node: str | None) -> str:
    if _MAKES_DATASET.search(_sql(job)):
        return RUN
    if request["node"]:
        told = str(request["node"])
        return RUN if told.startswith("operation.") else told
    if _SHARED.fullmatch(job.get("jobReference", {}).get("jobId", "")):
        return RUN
    return node or RUN


def _sql(job: Json) -> str:
    query = job.get("configuration", job).get("query", "")
    return str(query.get("query", "") if isinstance(query, dict) else query)


def _upload_key(request: Json) -> str:
    # Uploads of one build follow one another: dbt waits for each load.
    return str(request["node"])


def _parts(request: Json, body: bytes) -> tuple[Json, bytes]:
    """Return a job and the data it brings along."""
    if request["query"].get("uploadType") != "multipart":
        return json.loads(body), b""
    head = f"Content-Type: {request['content_type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    meta, data = message.iter_parts()
    return json.loads(meta.get_payload(decode=True)), bytes(data.get_payload(decode=True))


def _job(job: Json, data: bytes) -> Write:
    configuration = job.get("configuration", job)
    reference = job.get("jobReference", {})
    kind = next((kind for kind in ("query", "load", "copy", "extract") if kind in configuration), "query")
    query = configuration.get("query")
    details = query if isinstance(query, dict) else {}
    sql = _sql(job)
    told: Json = {
        **{key: value for key, value in configuration.items() if key not in (kind, "jobType", "dryRun")},
        kind: {
            key: value
            for key, value in configuration.get(kind, {}).items()
            if key != "query" and key not in _PLACES
        },
        "project": reference.get("projectId"),
        "location": reference.get("location"),
    }
    if data:
        told["data"] = hashlib.sha256(data).hexdigest()
    reads = kind == "query" and is_read(sql) and "destinationTable" not in details
    head = json.dumps(told, sort_keys=True)
    return Write(f"{kind} {head}\n{sql}" if sql else f"{kind} {head}", read=reads)


def _call(request: Json, body: bytes) -> Write:
    path = request["path"].partition("/projects/")[2]
    told = json.dumps(json.loads(body), sort_keys=True) if body else ""
    return Write(f"{request['method']} projects/{path} {told}".rstrip())
