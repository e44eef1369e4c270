"""
Which plans can serve the next run as well, and which of their nodes are planned anew each time.

Pure: from what the recorder has noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosmos_async.dbt.planner.guards import READS
from cosmos_async.dbt.planner.planner import RUN, Plan, was_planned
from cosmos_async.plan.model import Json, Level

#: At most this part of a plan is planned late for being another in each run: with more, one recording costs less.
MOST_EACH_RUN = 1 / 20


def each_run(recording: Json) -> dict[str, str]:
    """
    Return what nodes use that is another in each run, by unique id.

    Args:
        recording: What the recorder wrote. An ephemeral model is compiled once, and a part of all that read it.
    """
    found: dict[str, str] = dict(recording["moments"])
    for unique_id in recording["batches"]:
        found.setdefault(unique_id, "batches, which depend on the time of the run")
    ephemerals = recording["ephemerals"]
    readers = {**recording["nodes"], **ephemerals}
    waiting = [unique_id for unique_id in found if unique_id in ephemerals]
    while waiting:
        ephemeral = waiting.pop()
        for unique_id, node in readers.items():
            if ephemeral in node["depends_on"] and unique_id not in found:
                found[unique_id] = f"{found[ephemeral]}, in {ephemerals[ephemeral]['name']}"
                if unique_id in ephemerals:
                    waiting.append(unique_id)
    return found


def why_not_kept(recording: Json, plan: Plan, uses: Mapping[str, str]) -> str | None:
    """
    Return why a plan cannot serve the next run, None where it can.

    Args:
        recording: What the recorder wrote.
        plan: What was made of it.
        uses: What nodes use that is another in each run, see :func:`each_run`.
    """
    return next(_reasons(recording, plan, uses), None)


def _reasons(recording: Json, plan: Plan, uses: Mapping[str, str]) -> Iterator[str]:
    if recording["once"]:
        yield str(recording["once"])
    yield from _of_the_beginning(recording, plan, uses)
    for ephemeral in recording["inherited"]:
        if ephemeral in recording["ephemerals"] and ephemeral not in recording["nodes"]:
            name = recording["ephemerals"][ephemeral]["name"]
            yield f"{name}, which is not selected itself, reads the warehouse while it is compiled"
    for unique_id, node in recording["nodes"].items():
        if unique_id not in recording["flags"] and not was_planned(node):
            yield f"dbt could not plan {unique_id} this time"
    late = [unique_id for unique_id in uses if unique_id in plan.nodes]
    late = [unique_id for unique_id in late if plan.nodes[unique_id].level is not Level.DBT]
    if len(late) > max(1, int(len(plan.nodes) * MOST_EACH_RUN)):
        yield (
            f"{len(late)} of {len(plan.nodes)} nodes use what is another in each run, such as {uses[late[0]]} in {late[0]}"
        )


def _reads(event: Json, recording: Json) -> bool:
    """Whether a hook has asked BigQuery something that may have another answer next time, whatever it did with the answer."""
    if event["event"] == "relation":
        # Told by the listings, which are compared before a plan is used again.
        return ".".join(event["path"][:2]) not in recording["run"]["listings"]
    return event["event"] in READS


def _of_the_beginning(recording: Json, plan: Plan, uses: Mapping[str, str]) -> Iterator[str]:
    """What is done before the first node is no node's: nobody plans it anew where it does not fit."""
    hooks = [hook.unique_id for hook in plan.hooks]
    for name in (RUN, *hooks):
        if name in uses:
            yield f"what is done before the first node uses {uses[name]}, which is another in each run"
    for event in (event for name in (RUN, *hooks) for event in recording["events"].get(name, [])):
        if event.get("dataset"):
            yield f"this run creates the dataset {event['dataset']}, and the next one finds it"
    asked = [event for name in hooks for event in recording["events"].get(name, [])]
    if any(event["event"] == "dataset" for event in asked):
        yield "an on-run-start hook asks which datasets there are"
    if any(_reads(event, recording) for event in asked):
        yield "an on-run-start hook reads the warehouse"
    if any(name in recording["temporaries"] for name in hooks):
        yield "an on-run-start hook makes a temporary table"
