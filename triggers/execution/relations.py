"""
What is in the datasets of a project when a run begins: dbt lists them first of all, and goes by that to the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.warehouse import warehouse_of

_TEMPORARY = re.compile(r"__dbt_tmp\d*$")  # of a run that is under way, or of a node that failed


async def changed_relations(
    relations: Mapping[str, Mapping[str, str]],
    routines: Mapping[str, Mapping[str, str]],
    *,
    identity: Identity,
    endpoint: str | None,
) -> list[str]:
    """
    Return the names of relations and routines that have come, gone or become of another type.

    For setup, through ``asyncio.run``.

    Args:
        relations: Types by name, by ``project.dataset``, as an earlier run has found them.
        routines: Likewise, where dbt (1.12) lists them with the relations.
        identity: Who asks.
        endpoint: The endpoint of the run's dbt profile.
    """
    async with shared_session(identity) as session:
        bigquery = warehouse_of(session, endpoint).bigquery

        async def changed(name: str, what: str, known: Mapping[str, str]) -> list[str]:
            project, _, dataset = name.rpartition(".")
            found = await bigquery.listed(what, project, dataset)
            if not found and what == "tables" and await bigquery.get_dataset(project, dataset) is None:
                return [name]
            was, found = _without_temporary(known), _without_temporary(found)
            return [f"{name}.{one}" for one in {*was, *found} if was.get(one) != found.get(one)]

        listings = (("tables", relations), ("routines", routines))
        asked = (changed(name, what, known[name]) for what, known in listings for name in known)
        return sorted(one for some in await gather_bounded(asked) for one in some)


def _without_temporary(relations: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for name, kind in relations.items() if not _TEMPORARY.search(name)}
