"""
Read node plans of a run: those of an index in blocks that serve many nodes, those that were made late one by one.

A node's plan is checked against the digest that the index or a pin gives; which object it came in says nothing.
"""

from __future__ import annotations

import re
from contextlib import suppress

from cosmos_async.exceptions import PlanError
from cosmos_async.plan.model import Index, NodePlan, load_index, load_node
from cosmos_async.plan.store import INDEXES, late_plan_object, late_plan_objects, nodes_object
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.event_loop.threads import parse
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.storage.documents import checked, read_checked
from cosmos_async.triggers.storage.folders import Folder

#: For so long a block serves tasks that Airflow starts, in seconds: many begin at one moment. It is less than passes between
#: the start of a run's last task and its teardown, so whoever begins when the plan is deleted notices.
FRESH = 5.0


async def read_node(
    folder: Folder, index: Index, unique_id: str, *, session: Session, fresh: bool = True
) -> NodePlan:
    """
    Return a node's plan, checked against the index' digest.

    Args:
        folder: The run's folder.
        index: The plan's.
        unique_id: The node.
        session: Keeps what was read.
        fresh: Whether the plan may be deleted by now; what was read long ago does then not count.

    Raises:
        PlanGone: It is not there any more.
        PlanDamaged: It is not what setup wrote.
    """
    entry, block = index.nodes[unique_id], index.blocks[unique_id]
    name = nodes_object(index.plans)
    what = f"the plan of {unique_id} ({folder.path}/{name})"
    key = ("nodes", folder.path, name, block)
    attempts = 0

    async def read_block() -> tuple[float, bytes]:
        began = session.clock.now()
        return began, await folder.read_range(name, *block)

    async def read() -> bytes:
        nonlocal attempts
        if attempts:
            session.forget(key)
        attempts += 1
        size = block[1] - block[0]
        began, data = await session.once(key, read_block, size=size)
        if fresh and session.clock.now() - began > FRESH:
            session.forget(key)
            _, data = await session.once(key, read_block, size=size)
        start = entry.offset - block[0]
        return data[start : start + entry.length]

    return await parse(load_node, await checked(read, entry.digest, what), what=what)


async def read_late(folder: Folder, unique_id: str, digest: str) -> NodePlan:
    """
    Return a node's plan that was made late, checked against the digest that its pin gives.

    Raises:
        PlanGone: It is not there any more.
        PlanDamaged: It is not what the worker wrote.
    """
    name = late_plan_object(unique_id, digest)
    what = f"the plan of {unique_id} ({folder.path}/{name})"
    return await parse(load_node, await read_checked(folder, name, digest, what), what=what)


async def read_plans(folder: Folder, unique_id: str, *, session: Session) -> list[NodePlan]:
    """
    Return all plans of a node that this life of the run has seen, those that were made late included.

    They say which jobs there may be, and are not to be carried out: of those that are no longer in the index, nobody knows
    the whole digest.

    Args:
        folder: The run's folder.
        unique_id: The node.
        session: Keeps what was read.
    """
    planned, late = await gather_bounded([folder.names(INDEXES), folder.names(late_plan_objects(unique_id))])
    own = re.compile(re.escape(late_plan_objects(unique_id)) + r"[0-9a-f]{16}\.json")
    found = await gather_bounded(
        [
            *(_planned(folder, name, unique_id, session) for name in planned),
            *(_made_late(folder, name) for name in late if own.fullmatch(name)),
        ]
    )
    return [plan for plan in found if plan is not None]


async def _planned(folder: Folder, name: str, unique_id: str, session: Session) -> NodePlan | None:
    async def read() -> Index:
        return await parse(load_index, await folder.read(name))

    with suppress(PlanError):  # of another release
        index = await session.once(("index", folder.path, name), read)
        if unique_id in index.nodes:
            return await read_node(folder, index, unique_id, session=session, fresh=False)
    return None


async def _made_late(folder: Folder, name: str) -> NodePlan | None:
    with suppress(PlanError):
        return await parse(load_node, await folder.read(name))
    return None
