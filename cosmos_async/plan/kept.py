"""
A plan that is kept for the next run, and what it becomes there.

Pure. Most runs change neither the project nor its options. What a plan was made of is known then, by the fingerprint of all
that dbt was given and by the relations that were there; and what it was made of besides (the clock, the invocation) was
noticed while it was recorded. All other reads of the warehouse are its guards, which every run repeats.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.model import (
    Index,
    IndexEntry,
    Json,
    Level,
    NodePlan,
    RunInfo,
    dump_node,
    load_index,
    load_node,
)
from cosmos_async.plan.node_plans import pack, unpack
from cosmos_async.plan.ownership import is_source
from cosmos_async.plan.store import nodes_object

FORMAT = 2
_FACTS, _INDEX, _OBJECTS = "facts.json", "index.json", "objects/"
CHANGED = "It changed in a run before this one, so the node is planned at its turn."
_TIME_OF_DAY = re.compile(r"\d{12}$")  # ``%H%M%S%f``, as dbt-bigquery ends the name of a temporary relation


@dataclass(frozen=True)
class KeptPlan:
    """A run's plan, with what another run must have in common with it."""

    fingerprint: Json  #: of all that dbt was given, see :mod:`cosmos_async.dbt.planner.fingerprint`
    environment: tuple[str, ...]  #: the environment variables that dbt has asked for
    relations: dict[str, dict[str, str]]  #: types by name, by ``project.dataset``, when the run began
    routines: dict[str, dict[str, str]]  #: likewise, of the datasets in which dbt lists them
    each_run: dict[str, str]  #: what a node uses that another run has differently, by unique id
    temporaries: dict[str, list[str]]  #: names that dbt made of the time of day, by unique id
    index: bytes
    objects: dict[str, bytes]  #: all else of the plan, by its name in the store

    @cached_property
    def _loaded(self) -> Index:
        return load_index(self.index)

    @property
    def run(self) -> RunInfo:
        """What is said of the run that was planned."""
        return self._loaded.run

    @property
    def nodes(self) -> dict[str, IndexEntry]:
        """What the run knew of its nodes."""
        return self._loaded.nodes

    def dump(self) -> bytes:
        """Return it as one object of the store."""
        facts = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "environment": self.environment,
            "relations": self.relations,
            "routines": self.routines,
            "each_run": self.each_run,
            "temporaries": self.temporaries,
        }
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_FACTS, json.dumps(facts))
            archive.writestr(_INDEX, self.index)
            for name, data in self.objects.items():
                archive.writestr(_OBJECTS + name, data)
        return packed.getvalue()

    @classmethod
    def load(cls, data: bytes) -> KeptPlan:
        """
        Return what :meth:`dump` wrote.

        Raises:
            PlanDamaged: It is something else, or of another release.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                facts = json.loads(archive.read(_FACTS))
                if facts.pop("format") != FORMAT:
                    raise PlanDamaged("the kept plan is of another release of cosmos-async")
                facts["environment"] = tuple(facts["environment"])
                names = [name for name in archive.namelist() if name.startswith(_OBJECTS)]
                return cls(
                    **facts,
                    index=archive.read(_INDEX),
                    objects={name[len(_OBJECTS) :]: archive.read(name) for name in names},
                )
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise PlanDamaged(f"the kept plan cannot be read ({error})") from error


@dataclass(frozen=True)
class PlanAgain:
    """The plan of a run that was made from a kept one, ready to be stored."""

    index: Index
    objects: dict[str, bytes]


def use_again(
    kept: KeptPlan, run: RunInfo, *, now: datetime, changing: Collection[str] = frozenset()
) -> PlanAgain:
    """
    Return the plan for another run.

    Its jobs get the new invocation's label, and what is made and dropped within a node a name of its own, as two runs may be
    under way at once. A node that uses what each run has differently is planned at its turn.

    Args:
        kept: The plan of an earlier run, whose fingerprint and relations fit.
        run: What is to be said of the new run, as in the kept index but for what is the run's own.
        now: Of which temporary names are made.
        changing: Nodes with which nothing is assumed any more, as it was wrong lately.
    """
    invocation = {kept.run.invocation_id.encode(): run.invocation_id.encode()}
    was = load_index(_replaced(kept.index, invocation))
    renamed = _renamed(kept.temporaries, now)
    plans = unpack(was, kept.objects)
    nodes: dict[str, IndexEntry] = {}
    for unique_id, entry in was.nodes.items():
        names = {old.encode(): renamed[old].encode() for old in kept.temporaries.get(unique_id, ())}
        data = _replaced(plans[unique_id], {**invocation, **names})
        level, reason = entry.level, entry.reason
        uses = kept.each_run.get(unique_id)
        if uses is not None and level is not Level.DBT:
            # How old a source is, is asked by another command than the one that late plans are a part of.
            level = Level.DBT if is_source(unique_id) else Level.LATE
            reason = f"It uses {uses}, which is another in each run, and the plan is an earlier run's."
        elif entry.assumed and unique_id in changing:
            level, reason = Level.LATE, f"{entry.reason} {CHANGED}"
        if reason is not entry.reason:
            data = dump_node(_without_steps(load_node(data), level, reason))
            entry = replace(entry, level=level, reason=reason, assumed=False)
        plans[unique_id] = data
        nodes[unique_id] = entry
    index, packed = pack(replace(was, run=run, nodes=nodes), plans)
    others = {name: data for name, data in kept.objects.items() if name != nodes_object(was.plans)}
    return PlanAgain(index, {**others, **packed})


def _without_steps(plan: NodePlan, level: Level, reason: str) -> NodePlan:
    return NodePlan(
        plan.unique_id,
        plan.name,
        plan.resource_type,
        level,
        reason,
        materialized=plan.materialized,
        relation=plan.relation,
        fqn=plan.fqn,
        file=plan.file,
    )


def _renamed(temporaries: Mapping[str, Iterable[str]], now: datetime) -> dict[str, str]:
    """Return new names of temporary relations by their old ones; those that were distinct are so again."""
    found: dict[str, str] = {}
    for old in sorted({name for names in temporaries.values() for name in names}):
        moment = now + timedelta(microseconds=len(found))
        found[old] = _TIME_OF_DAY.sub(moment.strftime("%H%M%S%f"), old)
    return found


def _replaced(data: bytes, replacements: Mapping[bytes, bytes]) -> bytes:
    for old, new in replacements.items():
        data = data.replace(old, new)
    return data


def first_difference(kept: Json, found: Json) -> str | None:
    """Return in a person's words what is different in two fingerprints, None where they are the same."""
    for part in sorted({*kept, *found}):
        was, now = kept.get(part), found.get(part)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{part} ({names[0]}{more})"
        return part
    return None
