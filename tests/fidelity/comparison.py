"""
Two builds of one project side by side: what is the same, what differs, what could not be compared.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.fidelity.normal import Names, differing_keys, first_difference
from tests.fidelity.writes import RUN, Write

Json = dict[str, Any]

SAME, DIFFERENT, NOT_COMPARED = "same", "different", "not compared"
#: What two equal jobs do not have in common.
_OF_A_JOB = ("job_id", "slot_ms")
_OUTCOME = ("status", "message", "failures", "relation_name", "batch_results", "overload_results")
#: Arguments that the two sides do not have in common: each has a profile of its own, and we say more of them than need be.
_PLACES = ("profiles_dir", "invocation_command")
_MAKES_DATASET = "create schema if not exists"
_COPIES_PARTITION = re.compile(r'copy \{.*"tableId": "[^"$]+\$')


@dataclass
class Build:
    """What one side did with one invocation."""

    who: str
    case: str
    step: str
    names: Names
    results: dict[str, Json]  #: run_results.json by unique id
    writes: dict[str, list[Write]]  #: by unique id; those of the run itself under `RUN`
    state: dict[str, Json]  #: the warehouse afterwards, by relation
    levels: dict[str, tuple[str, str]]  #: by unique id: the level and its reason; ours only
    output: str
    refusal: str | None = None  #: nothing was run, and this was said
    complaints: tuple[str, ...] = ()  #: what is wrong whatever dbt does
    arguments: Json = field(default_factory=dict)  #: ``args`` of run_results.json
    manifest: dict[str, Json] = field(default_factory=dict)  #: what manifest.json says of nodes, by unique id


@dataclass
class NodeComparison:
    """One node of a step."""

    unique_id: str
    level: str
    reason: str
    status: str  #: dbt's
    differences: list[str] = field(default_factory=list)
    writes_only: str = ""  #: why no more than the writes was compared

    @property
    def verdict(self) -> str:
        """``same``, ``different`` or ``not compared``."""
        if self.differences:
            return DIFFERENT
        return NOT_COMPARED if self.writes_only else SAME


@dataclass
class Comparison:
    """One step of one case."""

    case: str
    step: str
    nodes: list[NodeComparison]
    differences: list[str]  #: of the run and of the warehouse as a whole
    refusal: str | None = None  #: why dbt does not begin at all; ours has to say so, too

    @property
    def verdict(self) -> str:
        """``different`` as soon as anything is; ``not compared`` where a node was compared in part."""
        if self.differences or any(node.verdict == DIFFERENT for node in self.nodes):
            return DIFFERENT
        return NOT_COMPARED if any(node.verdict == NOT_COMPARED for node in self.nodes) else SAME

    @property
    def levels(self) -> Counter[str]:
        """How many nodes were executed at each level."""
        return Counter(node.level for node in self.nodes if node.level)

    def told(self) -> str:
        """Return what differs, in lines."""
        lines = [f"{self.case} / {self.step}: {self.verdict}"]
        lines += [f"  {difference}" for difference in self.differences]
        lines += [f"  dbt does not begin: {self.refusal}"] if self.refusal is not None else []
        for node in self.nodes:
            lines += [f"  {node.unique_id} ({node.level}): {each}" for each in node.differences]
            if node.writes_only:
                lines.append(f"  {node.unique_id} ({node.level}): writes only: {node.writes_only}")
        return "\n".join(lines)

    def to_json(self) -> Json:
        """Return it for a machine."""
        return {
            "case": self.case,
            "step": self.step,
            "verdict": self.verdict,
            "levels": dict(self.levels),
            "differences": self.differences,
            "refusal": self.refusal,
            "nodes": [
                {
                    "unique_id": node.unique_id,
                    "level": node.level,
                    "reason": node.reason,
                    "status": node.status,
                    "verdict": node.verdict,
                    "differences": node.differences,
                    "writes_only": node.writes_only,
                }
                for node in self.nodes
            ],
        }


def compare(theirs: Build, ours: Build, *, errors: Iterable[str] = ()) -> Comparison:
    """
    Compare two builds.

    Args:
        theirs: Real dbt's.
        ours: Ours.
        errors: Names of nodes that are meant to fail; see `Bench.step`.
    """
    comparison = Comparison(theirs.case, theirs.step, [], list(ours.complaints))
    if theirs.refusal is not None or ours.refusal is not None:
        comparison.refusal = theirs.refusal and " ".join(_words(theirs))
        comparison.differences += _refusals(theirs, ours)
    meant = set(errors)
    gaps: dict[str, str] = {}
    for unique_id in sorted(theirs.results.keys() | ours.results.keys()):
        node = _node(unique_id, theirs, ours)
        failed = node.status == "error" and not meant & set(unique_id.split("."))
        if failed:
            gaps[unique_id] = theirs.results[unique_id]["message"] or ""
            node.writes_only = f"the stand-in cannot run it: {_line(gaps[unique_id])}"
        comparison.nodes.append(node)
    comparison.differences += _runs(theirs, ours)
    comparison.differences += _artifacts(theirs, ours)
    unexpected = (theirs.writes.keys() | ours.writes.keys()) - theirs.results.keys() - ours.results.keys()
    for unique_id in sorted(unexpected - {RUN}):
        comparison.differences += [f"{unique_id}: {each}" for each in _writes(theirs, ours, unique_id)]
    comparison.differences += _states(theirs.state, ours.state)
    return comparison


def _node(unique_id: str, theirs: Build, ours: Build) -> NodeComparison:
    level, reason = ours.levels.get(unique_id, ("", ""))
    their, our = theirs.results.get(unique_id), ours.results.get(unique_id)
    node = NodeComparison(unique_id, level, reason, their["status"] if their else "")
    if their is None or our is None:
        who = "dbt" if our is None else "we"
        node.differences.append(f"only {who} have a result: {(their or our or {}).get('status')}")
        return node
    for name in _OUTCOME:
        one, other = theirs.names.value(their.get(name)), ours.names.value(our.get(name))
        if one != other:
            node.differences.append(f"{name}: dbt: {_line(one)}  we: {_line(other)}")
    response, answer = _response(theirs, their), _response(ours, our)
    for key in differing_keys(response, answer):
        node.differences.append(
            f"adapter_response.{key}: dbt: {response.get(key)!r}  we: {answer.get(key)!r}"
        )
    code, other_code = (
        build.names.text(each.get("compiled_code") or "") for build, each in ((theirs, their), (ours, our))
    )
    if code != other_code:
        node.differences.append(f"compiled_code: {first_difference(code, other_code)}")
    node.differences += _writes(theirs, ours, unique_id)
    return node


def _response(build: Build, result: Json) -> Json:
    response = result.get("adapter_response") or {}
    return {key: build.names.value(value) for key, value in response.items() if key not in _OF_A_JOB}


def _writes(theirs: Build, ours: Build, unique_id: str) -> list[str]:
    """Compare what a node wrote; of a test, also the query that decides."""
    one, other = (
        _orderly(
            build.names.written(each.text) for each in _relevant(build.writes.get(unique_id, ()), unique_id)
        )
        for build in (theirs, ours)
    )
    if unique_id.startswith("unit_test.") and ours.levels.get(unique_id, ("",))[0] == "D":
        # The triggerer's own try came before: its temporary table is gone again.
        other = other[-len(one) :] if one else other
    return _sequences(one, other)


def _orderly(texts: Iterable[str]) -> list[str]:
    """Sort copies of partitions that follow one another: dbt takes them as BigQuery answers a `select distinct`."""
    found: list[str] = []
    for copies, neighbours in itertools.groupby(texts, lambda text: bool(_COPIES_PARTITION.match(text))):
        group = list(neighbours)
        found += sorted(group) if copies else group
    return found


def _runs(theirs: Build, ours: Build) -> list[str]:
    """Compare what was written for no node. dbt makes all datasets at once, and again where it runs a node alone."""
    told = []
    sent = [
        [
            build.names.written(each.text, any_order=True)
            for each in build.writes.get(RUN, ())
            if not each.read
        ]
        for build in (theirs, ours)
    ]
    made, made_by_us = (sorted({text for text in texts if _MAKES_DATASET in text}) for texts in sent)
    told += _sequences(made, made_by_us)
    told += _sequences(*([text for text in texts if _MAKES_DATASET not in text] for texts in sent))
    return [f"{RUN}: {each}" for each in told]


def _artifacts(theirs: Build, ours: Build) -> list[str]:
    """Compare what other tools read: dbt's arguments, and the manifest."""
    one, other = (
        build.names.value({key: value for key, value in build.arguments.items() if key not in _PLACES})
        for build in (theirs, ours)
    )
    told = [
        f"args.{key}: dbt: {one.get(key)!r}  we: {other.get(key)!r}" for key in differing_keys(one, other)
    ]
    for unique_id in sorted(theirs.manifest.keys() | ours.manifest.keys()):
        one, other = (build.names.value(build.manifest.get(unique_id, {})) for build in (theirs, ours))
        left_out = _unknown_at_setup(unique_id, ours)
        told += [
            f"manifest.json: {unique_id}.{key}: dbt: {_line(one.get(key))}  we: {_line(other.get(key))}"
            for key in differing_keys(one, other)
            if key not in left_out
        ]
    return told


def _unknown_at_setup(unique_id: str, ours: Build) -> tuple[str, ...]:
    """Return what our manifest does not say: what ephemeral models became that only nodes of levels L and D read."""
    node = ours.manifest.get(unique_id, {})
    if ours.levels.get(unique_id, ("",))[0] in ("L", "D"):
        return ("extra_ctes", "depends_on")  # which macros it calls, dbt adds when it compiles it
    if node.get("config", {}).get("materialized") == "ephemeral" and "compiled" not in node:
        return ("compiled", "compiled_code", "compiled_path", "extra_ctes", "extra_ctes_injected")
    return ()


def _sequences(one: list[str], other: list[str]) -> list[str]:
    told = []
    for number, (text, our_text) in enumerate(zip(one, other), 1):
        if text != our_text:
            told.append(f"write {number}: {first_difference(text, our_text)}")
    for who, more, fewer in (("dbt", one, other), ("we", other, one)):
        told += [f"only {who} wrote: {_short(text)}" for text in more[len(fewer) :]]
    return told


def _short(text: str) -> str:
    """Return a write without its job's options and dbt's comment."""
    return _line(text.partition("\n")[2].partition("*/")[2] or text)


def _relevant(sent: Iterable[Write], unique_id: str) -> list[Write]:
    sent = list(sent)
    reads = [each for each in sent if each.read]
    decisive = reads[-1:] if unique_id.startswith("test.") else []
    return [each for each in sent if not each.read or any(each is one for one in decisive)]


def _states(theirs: dict[str, Json], ours: dict[str, Json]) -> list[str]:
    told = []
    for relation in sorted(theirs.keys() | ours.keys()):
        if relation not in ours:
            told.append(f"{relation} is there after dbt only")
        elif relation not in theirs:
            told.append(f"{relation} is there after us only")
        else:
            one, other = theirs[relation], ours[relation]
            told += [
                f"{relation}.{key}: dbt: {_line(one.get(key))}  we: {_line(other.get(key))}"
                if key != "rows"
                else f"{relation}: rows: {_rows(one.get(key, []), other.get(key, []))}"
                for key in differing_keys(one, other)
            ]
    return told


def _rows(one: list[Json], other: list[Json]) -> str:
    missing = [row for row in one if row not in other]
    added = [row for row in other if row not in one]
    return f"{len(one)} and {len(other)}; only dbt has {_line(missing[:2])}, only we have {_line(added[:2])}"


_TIMESTAMP = re.compile(r"^\d\d:\d\d:\d\d\s+")


def _refusals(theirs: Build, ours: Build) -> list[str]:
    """Where nothing can be run at all, our error has dbt's own words."""
    if theirs.refusal is None:
        said = ours.refusal or ""
        return [f"only we refuse to run: {_line(said[-300:])}"]  # dbt's own words stand at the end
    if ours.refusal is None:
        return [f"only dbt refuses to run: {_line(theirs.refusal[-400:])}"]
    ours_told = " ".join(ours.names.text(ours.refusal).split())
    return [f"our error does not say: {line}" for line in _words(theirs) if line not in ours_told]


def _words(build: Build) -> list[str]:
    """Return the lines in which dbt says why it does not begin."""
    lines = [_TIMESTAMP.sub("", line).strip() for line in build.names.text(build.refusal or "").splitlines()]
    # Whatever was warned of before may speak of errors, too.
    begins = next((at for at, line in enumerate(lines) if "Encountered an error" in line), None)
    if begins is None:
        begins = next((at for at, line in enumerate(lines) if "Error" in line), 0)
    # Where dbt itself is surprised, its message is followed by the way to it.
    ends = next((at for at, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
    return [" ".join(line.split()) for line in lines[begins + 1 : ends] if line]


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:300]
