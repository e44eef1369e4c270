"""
Builds a dbt project twice: by real `dbt build`, and by us without Airflow but through the real product.

    with running_warehouse(folder / "warehouse") as warehouse:
        bench = Bench(warehouse, folder)
        pair = bench.pair("orders", project)                # two datasets, one for each side
        for options in (Options(), Options(vars={"day": 2}), Options(full_refresh=True)):
            theirs = build_by_dbt(pair.theirs, options)
            ours = build_by_us(pair.ours, options)
            comparison = compare(theirs, ours)              # see tests.fidelity.comparison
            assert comparison.verdict == "same", comparison.told()

`bench.step(pair, options)` does the last three in one. A project's files may be changed between two steps (`pair.project`
is a copy). What differs between the two sides is the dataset alone, which has a name of the same length.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from tests.dbt_versions import NEWEST
from tests.fidelity.clock import shifted
from tests.fidelity.comparison import Build, Comparison, compare
from tests.fidelity.normal import Names, Span
from tests.fidelity.state import state_of
from tests.fidelity.writes import writes_of
from tests.forked_dbt import forked_dbt, real_dbt
from tests.warehouse.fixture import Warehouse

__all__ = [
    "Bench",
    "Build",
    "Comparison",
    "Options",
    "Pair",
    "Side",
    "build_by_dbt",
    "build_by_us",
    "compare",
]

Json = dict[str, Any]

TRACED = Path(__file__).with_name("traced.py")
#: What could steer dbt from outside.
_STEERING = ("DBT_", "BIGQUERY_", "GOOGLE_", "COSMOS_", "AIRFLOW_", "PYTHONPATH", "STORAGE_EMULATOR_HOST")
#: Benches share warehouses, and no two pairs may share datasets.
_pairs = itertools.count(1)
_QUIET = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_USE_COLORS": "false"}


@dataclass(frozen=True)
class Options:
    """One invocation of `dbt build`, the same for both sides."""

    name: str = "build"  #: what the step is called in the table
    vars: Mapping[str, Any] = field(default_factory=dict)
    full_refresh: bool = False
    select: str | None = None
    exclude: str | None = None
    selector: str | None = None
    flags: tuple[str, ...] = ()  #: after `dbt build`
    env: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1  #: one node after the other, so that hooks of two nodes never meet
    #: Whether we have to go by the plan of the step before, or must not; None where both are right.
    again: bool | None = False
    files: Mapping[str, str] = field(default_factory=dict)  #: what is written into the project before
    profile: Mapping[str, Any] = field(
        default_factory=dict
    )  #: keys of the profile's target that change before
    later: timedelta = timedelta()  #: what dbt's clock is ahead of the machine's, see `tests.fidelity.clock`

    def environment(self) -> dict[str, str]:
        """Return what both sides' dbt finds in its environment."""
        return {**self.env, **(shifted(self.later) if self.later else {})}


@dataclass
class Side:
    """One of the two builders of a project, with its dataset."""

    bench: Bench
    who: str  #: "dbt" or "us"
    name: str  #: of the case
    project: Path
    profile_name: str
    names: Names
    profiles: Path  #: the folder with its profiles.yml
    runs: int = 0
    known: Any = None  #: what our earlier builds have left, see `tests.fidelity.ours.Known`

    @property
    def dataset(self) -> str:
        """The target's dataset."""
        return self.names.datasets[0]

    @property
    def environment(self) -> dict[str, str]:
        """What both sides' dbt sees of this machine."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_STEERING)}
        return {**kept, **_QUIET, "FIDELITY_DATASET": self.dataset}

    def change_profile(self, keys: Mapping[str, Any]) -> None:
        """Give the profile's target other values."""
        file = self.profiles / "profiles.yml"
        document = yaml.safe_load(file.read_text())
        document[self.profile_name]["outputs"]["dev"].update(keys)
        file.write_text(yaml.safe_dump(document))


@dataclass
class Pair:
    """The two sides of one project."""

    name: str
    project: Path  #: a copy, which may be changed between two steps
    theirs: Side
    ours: Side


@dataclass
class Bench:
    """
    A warehouse and the dbt to compare with.

    Args:
        warehouse: Running.
        folder: For copies of projects, plans and caches.
        version: Of dbt, one of `tests.dbt_versions.KNOWN`.
        fork: Import dbt once, see `tests.forked_dbt`.
        key: Sign in by a key; without one it is a token, which no clock makes invalid.
    """

    warehouse: Warehouse
    folder: Path
    version: str = NEWEST
    fork: bool = True
    key: bool = True

    @property
    def dbt(self) -> Path:
        """The dbt script that both sides run."""
        return forked_dbt(self.version) if self.fork else real_dbt(self.version)

    def pair(
        self,
        name: str,
        project: Path,
        *,
        profile: Mapping[str, Any] | None = None,
        more_datasets: int = 0,
    ) -> Pair:
        """
        Copy *project* and give each side a dataset of its own.

        Args:
            name: Of the case.
            project: The dbt project's folder.
            profile: Further keys of the profile's target.
            more_datasets: How many datasets each side has beside the target's; see `Side.names.datasets`. The variable
                FIDELITY_DATASET names the first to dbt's `env_var`.
        """
        number = next(_pairs)
        folder = self.folder / f"{number:03}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}"
        copy = folder / "project"
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("target", "logs", ".git"))
        profile_name = yaml.safe_load((copy / "dbt_project.yml").read_text())["profile"]
        sides = []
        for who, letter in (("dbt", "d"), ("us", "u")):
            datasets = tuple(
                f"fi{number:03}{letter}" + (f"x{more}" if more else "") for more in range(1 + more_datasets)
            )
            target = {
                "type": "bigquery",
                **(
                    {"method": "service-account", "keyfile": str(self.warehouse.key_file)}
                    if self.key
                    else {"method": "oauth-secrets", "token": self.warehouse.token()}
                ),
                "project": self.warehouse.project,
                "dataset": datasets[0],
                "location": "US",
                "threads": 1,
                "job_retries": 1,
                **(profile or {}),
            }
            profiles = folder / f"profiles-{who}"
            profiles.mkdir()
            document = {profile_name: {"target": "dev", "outputs": {"dev": target}}}
            (profiles / "profiles.yml").write_text(yaml.safe_dump(document))
            names = Names(datasets)
            names.paths[str(copy)] = "<project>"
            sides.append(Side(self, who, name, copy, profile_name, names, profiles))
        return Pair(name, copy, *sides)

    def step(
        self,
        pair: Pair,
        options: Options,
        *,
        errors: tuple[str, ...] | Callable[[Build], tuple[str, ...]] = (),
    ) -> Comparison:
        """
        Build by both and compare.

        Args:
            pair: The project's two sides.
            options: The invocation.
            errors: Names of nodes that are meant to fail. Another node that fails in real dbt is one that the stand-in
                cannot run: its writes are compared, and no more. A function finds them in dbt's build.
        """
        for name, text in options.files.items():
            (pair.project / name).write_text(text)
        for side in (pair.theirs, pair.ours):
            side.change_profile(options.profile)
        theirs = build_by_dbt(pair.theirs, options)
        try:
            ours = build_by_us(pair.ours, options)
        except Exception:
            # Whatever it is, dbt did better; the next case may do well.
            return Comparison(pair.name, options.name, [], [f"we broke: {traceback.format_exc()}"])
        return compare(theirs, ours, errors=errors(theirs) if callable(errors) else errors)


def build_by_dbt(side: Side, options: Options) -> Build:
    """Build with real dbt, and return what it did."""
    bench, warehouse = side.bench, side.bench.warehouse
    target = side.project / "target"
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    words = ["build", "--threads", str(options.threads), *options.flags]
    for option, value in (
        ("--select", options.select),
        ("--exclude", options.exclude),
        ("--selector", options.selector),
    ):
        words += [option, *value.split()] if value else []
    words += ["--vars", json.dumps(dict(options.vars))] if options.vars else []
    words += ["--full-refresh"] if options.full_refresh else []
    words += ["--profiles-dir", str(side.profiles), "--profile", side.profile_name, "--target", "dev"]
    environment = {**side.environment, **options.environment(), "BIGQUERY_EMULATOR_HOST": warehouse.endpoint}
    since, _ = warehouse.asked(since=1 << 60)
    begun = datetime.now(timezone.utc)
    done = subprocess.run(
        [bench.dbt.with_name("python"), TRACED, *words],
        cwd=side.project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    document = json.loads(results.read_text()) if results.exists() else None
    return finished_build(
        side,
        options,
        begun=begun,
        requests={None: warehouse.asked(since)[1]},
        document=document,
        manifest=json.loads((target / "manifest.json").read_text()) if document else None,
        output=done.stdout,
        refusal=None if document else done.stdout,
    )


def build_by_us(side: Side, options: Options) -> Build:
    """Build with our operators and our trigger, and return what they did."""
    # Imports Airflow, which real dbt's side does without.
    from tests.fidelity.ours import build

    return build(side, options)


def finished_build(
    side: Side,
    options: Options,
    *,
    begun: datetime,
    requests: Mapping[str | None, list[Json]],
    document: Json | None,
    manifest: Json | None = None,
    output: str,
    refusal: str | None,
    levels: Mapping[str, tuple[str, str]] | None = None,
    complaints: tuple[str, ...] = (),
) -> Build:
    """Look at the warehouse and return all there is to compare."""
    side.runs += 1
    invocation_id = document["metadata"]["invocation_id"] if document else ""
    side.names.spans.append(Span(begun, datetime.now(timezone.utc), invocation_id, options.later))
    writes: dict[str, list[Any]] = {}
    seen: set[str] = set()
    for node, asked in requests.items():
        for sender, sent in writes_of(asked, node, seen=seen).items():
            writes.setdefault(sender, []).extend(sent)
    return Build(
        who=side.who,
        case=side.name,
        step=options.name,
        names=side.names,
        results={each["unique_id"]: each for each in document["results"]} if document else {},
        arguments=document["args"] if document else {},
        manifest=_nodes_of(manifest) if document and manifest else {},
        writes=writes,
        state=state_of(side.bench.warehouse, side.names),
        levels=dict(levels or {}),
        output=output,
        refusal=refusal,
        complaints=complaints,
    )


def _nodes_of(manifest: Json) -> dict[str, Json]:
    """Return what a manifest says of the project's nodes but for when it was parsed."""
    kinds = ("nodes", "functions", "unit_tests", "exposures", "sources", "metrics")
    return {
        unique_id: {key: value for key, value in node.items() if key != "created_at"}
        for kind in kinds
        for unique_id, node in manifest.get(kind, {}).items()
    }
