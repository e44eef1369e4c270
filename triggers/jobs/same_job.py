"""
Whether a job that BigQuery has is the one that would be submitted: pure.

An id is computed from what a job is for. What the job *is*, its configuration says; before a job counts as our own, both
have to agree. BigQuery adds its defaults to a configuration, turns numbers into strings and leaves out what is empty, so
only what decides about the job's effect is compared, and only where it would be sent.
"""

from __future__ import annotations

from typing import Any

from cosmos_async.exceptions import JobTaken
from cosmos_async.plan.model import JobOperation
from cosmos_async.triggers.google.bigquery import JobRef

Json = dict[str, Any]

#: The label that dbt gives each query (dbt/adapters/bigquery/connections.py); a plan made anew has another, where the run
#: is still the same.
INVOCATION_LABEL = "dbt_invocation_id"
_DECISIVE = {
    "query": ("query", "destinationTable", "defaultDataset"),
    "load": ("destinationTable", "sourceUris", "writeDisposition"),
    "copy": ("sourceTables", "destinationTable", "writeDisposition"),
}
_WORDS = {
    "query": "its SQL",
    "destinationTable": "the table it writes to",
    "defaultDataset": "its default dataset",
    "writeDisposition": "whether it replaces or appends",
    "sourceUris": "what it loads",
    "sourceTables": "the tables it reads",
}


def difference(wanted: Json, found: Json) -> str | None:
    """
    Return what is not the same, for a person; None where it is the same job.

    Args:
        wanted: The ``configuration`` that would be sent.
        found: The ``configuration`` of the job that is there.
    """
    for kind, names in _DECISIVE.items():
        details = wanted.get(kind)
        if details is None:
            continue
        if kind not in found:
            return "its kind"
        for name in names:
            if not _within(_part(details, name), _part(found[kind], name)):
                return _WORDS[name]
    labels, theirs = wanted.get("labels") or {}, found.get("labels") or {}
    for name, value in labels.items():
        if name != INVOCATION_LABEL and str(theirs.get(name)) != str(value):
            return f"its label {name}"
    return None


def require_same(unique_id: str, operation: JobOperation, job: Json) -> None:
    """
    Let *job* count as that of *operation* only where it is.

    Args:
        unique_id: Whose operation it is.
        operation: What would be submitted.
        job: The resource that BigQuery has under the operation's id.

    Raises:
        JobTaken: It is another one.
    """
    what = difference(operation.configuration, job.get("configuration") or {})
    if what is not None:
        raise JobTaken(
            f"{unique_id}: BigQuery has a job {JobRef.of(job)} already, and it is not the one that would be submitted "
            f"({operation.purpose}): {what} is another. Perhaps it was submitted by an earlier plan of this run, which "
            "was made anew since. It is left alone. Clear this task: a new try has jobs of its own, and ends this one "
            "first if it still runs."
        )


def _part(details: Json, name: str) -> Any:
    single = details.get("sourceTable") if name == "sourceTables" else None
    return details.get(name) if single is None else [single]


def _within(wanted: Any, found: Any) -> bool:
    """Return whether *found* says what *wanted* says, and perhaps more."""
    if wanted in (None, "", [], {}):
        return True
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_within(wanted[name], found.get(name)) for name in wanted)
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(wanted) == len(found)
        return same and all(_within(one, other) for one, other in zip(wanted, found))
    return str(wanted) == str(found)
