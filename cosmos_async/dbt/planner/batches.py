"""
From the events of a microbatch model to its batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosmos_async.dbt.planner.steps import Steps
from cosmos_async.plan.model import Batch, Guard, GuardKind, Json, Level, Step

_ORDER = (Level.STATIC, Level.GUARDED, Level.NATIVE)


@dataclass(frozen=True)
class MadeBatches:
    """A model's batches and what they cost."""

    batches: tuple[Batch, ...]
    level: Level
    reason: str


def make_batches(
    recording: Json, node: Json, schemas: Mapping[str, tuple[Step, ...]], *, at_turn: bool = False
) -> MadeBatches:
    """
    Return the batches of a microbatch model.

    What dbt did for the whole model, such as looking whether its table is there, belongs to the first one.

    Args:
        recording: The whole recording.
        node: The model's description.
        schemas: As for :class:`~cosmos_async.dbt.planner.steps.Steps`.
        at_turn: As there.

    Raises:
        NotStatic: Real dbt has to run this model.
    """
    events = recording["events"].get(node["unique_id"], [])
    found: list[Batch] = []
    level, reason = Level.STATIC, ""
    for position, batch in enumerate(recording["batches"][node["unique_id"]]):
        first = position == 0
        own = [event for event in events if event.get("batch", 0) == position]
        steps = Steps(
            recording,
            {**node, "main_job": batch["main_job"]},
            schemas,
            own=own,
            begins=first,
            at_turn=at_turn,
        ).make()
        found.append(
            Batch(
                name=batch["name"],
                start=batch["start"],
                end=batch["end"],
                steps=steps.steps if first else _without_states(steps.steps),
                at_once=recording["threads"] if batch["parallel"] else 1,
            )
        )
        if _ORDER.index(steps.level) >= _ORDER.index(level):
            level, reason = steps.level, steps.reason
    return MadeBatches(tuple(found), level, reason)


def _without_states(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    # What exists, dbt asked for once, at the beginning of the run; the first batch has that guard.
    return tuple(
        step for step in steps if not (isinstance(step, Guard) and step.kind is GuardKind.TARGET_STATE)
    )
