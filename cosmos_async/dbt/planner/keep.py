"""
Which plans can serve the next run as well, and which of their nodes are planned anew each time.

Pure: from what the recorder has noticed.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosmos_async.dbt.planner.planner import RUN, Plan
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
    nodes = recording["nodes"]
    waiting = [unique_id for unique_id in found if nodes.get(unique_id, {}).get("ephemeral")]
    while waiting:
        ephemeral = waiting.pop()
        for unique_id, node in nodes.items():
            if ephemeral in node["depends_on"] and unique_id not in found:
                found[unique_id] = f"{found[ephemeral]}, in {nodes[ephemeral]['name']}"
                if node["ephemeral"]:
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
    if recording["once"]:
        return str(recording["once"])
    if RUN in uses or any(hook.unique_id in uses for hook in plan.hooks):
        what = next(uses[name] for name in (RUN, *(hook.unique_id for hook in plan.hooks)) if name in uses)
        return f"what is done before the first node uses {what}, which is another in each run"
    created = [event["dataset"] for event in recording["events"].get(RUN, []) if event.get("dataset")]
    if created:
        return f"this run creates the dataset {created[0]}, and the next one finds it"
    late = [unique_id for unique_id in uses if unique_id in plan.nodes]
    late = [unique_id for unique_id in late if plan.nodes[unique_id].level is not Level.DBT]
    if len(late) > max(1, int(len(plan.nodes) * MOST_EACH_RUN)):
        return f"{len(late)} of {len(plan.nodes)} nodes use what is another in each run, such as {uses[late[0]]} in {late[0]}"
    return None
