"""
Which tables of a run have been announced to Airflow as assets, and which are still to be: pure.

The record of it is kept beside dbt's artifacts, so that no task of the run announces what another one has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.model import Index
from cosmos_async.plan.outcome import Outcome, Status

ANNOUNCEMENTS_FILE = "announcements.json"  # beyond the teardown

#: What of dbt's ``adapter_response`` an event tells.
_TOLD = ("rows_affected", "bytes_processed", "bytes_billed", "job_id", "project_id", "location")


@dataclass(frozen=True)
class Announcement:
    """A table that a node has built."""

    unique_id: str
    relation: str  #: ``project.dataset.table``
    alias: str  #: under which the DAG knew it before it ran
    ended: str  #: when it was built; a node that is cleared ends anew, and is announced again
    extra: dict[str, Any] = field(default_factory=dict)
    made: bool = False  #: Airflow has been told


def announcements(
    index: Index,
    outcomes: Mapping[str, Outcome],
    aliases: Mapping[str, str],
    earlier: Iterable[Announcement] = (),
    *,
    tested: bool = False,
) -> list[Announcement]:
    """
    Return what is announced of a run, in the order in which it was built.

    Args:
        index: Of the run's plan.
        outcomes: What became of its nodes.
        aliases: The nodes that are announced, each with its alias.
        earlier: What an earlier task of the run has recorded.
        tested: Whether a node succeeds only with its tests, as one task executes both.
    """
    made = {(one.unique_id, one.ended) for one in earlier if one.made}
    found = []
    for unique_id, alias in aliases.items():
        entry, outcome = index.nodes.get(unique_id), outcomes.get(unique_id)
        if entry is None or entry.relation is None or outcome is None:
            continue
        tests = index.tests_of(unique_id) if tested else []
        if outcome.status is not Status.SUCCESS or any(_failed(outcomes.get(test)) for test in tests):
            continue
        ended = outcome.completed_at
        found.append(
            Announcement(unique_id, entry.relation, alias, ended, _extra(outcome), (unique_id, ended) in made)
        )
    return sorted(found, key=lambda one: one.ended)


def _failed(test: Outcome | None) -> bool:
    return test is not None and test.status.failed


def _extra(outcome: Outcome) -> dict[str, Any]:
    response = outcome.adapter_response
    told = {name: response[name] for name in _TOLD if response.get(name) is not None}
    # dbt has no response for a microbatch model as a whole, and names no job of a seed.
    if "job_id" not in told and outcome.jobs:
        last = outcome.jobs[-1]
        told.update(job_id=last.job_id, project_id=last.project, location=last.location)
    return {"unique_id": outcome.unique_id, "bytes_processed": outcome.bytes_processed, **told}


def all_made(found: Iterable[Announcement]) -> list[Announcement]:
    """Return announcements as they are once Airflow has been told."""
    return [replace(one, made=True) for one in found]


def dump_announcements(found: Iterable[Announcement]) -> bytes:
    """Return announcements as JSON bytes."""
    return json.dumps([asdict(one) for one in found], indent=1).encode()


def load_announcements(data: bytes) -> list[Announcement]:
    """
    Return what :func:`dump_announcements` wrote.

    Raises:
        PlanDamaged: The bytes are something else.
    """
    try:
        return [Announcement(**one) for one in json.loads(data)]
    except (ValueError, TypeError) as error:
        raise PlanDamaged(f"this is no record of announced assets: {error}") from error
