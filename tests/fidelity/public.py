"""
Public dbt projects, built by real dbt and by us: `python -m tests.fidelity.public [--only NAME ...] [--json FILE]`.

They are fetched at a pinned commit for the run (see `repositories`) and not kept in this repository.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.fidelity.choice import ALL, Choice
from tests.fidelity.driver import Bench, Options
from tests.fidelity.repositories import NotFetched, Repository
from tests.fidelity.rows import NotCompared, Row

UTILS = Repository("dbt-labs/dbt-utils", "700764ce230b2fb775b5338b6bc77a72233ea34c")
DATE = Repository("godatadriven/dbt-date", "e706de9630b228aae58a2bb0e99f34b19abb4688")
AUDIT = Repository("dbt-labs/dbt-audit-helper", "3bd0ca4e9d79b7d740ad7e77384b3d03a16cf242")
ARTIFACTS = Repository("brooklyn-data/dbt_artifacts", "6d37fa068c47de8ab85722047ca5af3f873cd508")
ELEMENTARY = Repository("elementary-data/dbt-data-reliability", "ccb0de3409756b7c3d2a08a6216be7ba548c18ab")
CLASSIC_SHOP = Repository("dbt-labs/jaffle_shop", "b0b77aac70f490770a1e77c02bb0a2b8771d3203")
# Without its seeds of several megabytes: `SHOP_TABLES` has some rows instead.
SHOP = Repository(
    "dbt-labs/jaffle-shop",
    "7be2c5838dbdeca8e915d4e46db70e910753d7f6",
    only=("dbt_project.yml", "packages.yml", "models", "macros", "data-tests"),
)

_NUMBERS = "unnest(generate_array(1, 12)) as n"
#: What the project's sources are, in their columns and types.
SHOP_TABLES = (
    "create schema if not exists raw",
    "create or replace table raw.raw_customers as select 'c' || n as id, 'Name ' || n as name "
    "from unnest(['1', '2', '3', '4', '5']) as n",
    "create or replace table raw.raw_stores as "
    "select 's1' as id, 'Philadelphia' as name, timestamp '2016-09-01 00:00:00+00' as opened_at, 0.06 as tax_rate "
    "union all select 's2', 'Brooklyn', timestamp '2017-03-12 00:00:00+00', 0.04",
    "create or replace table raw.raw_products as select 'JAF-001' as sku, 'nutellaphone' as name, "
    "'jaffle' as type, 1100 as price, 'a jaffle' as description "
    "union all select 'BEV-001', 'tangaroo', 'beverage', 600, 'a drink'",
    "create or replace table raw.raw_supplies as "
    "select 'SUP-001' as id, 'knife' as name, 7 as cost, false as perishable, 'JAF-001' as sku "
    "union all select 'SUP-002', 'mango', 70, true, 'BEV-001'",
    "create or replace table raw.raw_orders as select 'o' || cast(n as string) as id, "
    "'s' || cast(1 + mod(n, 2) as string) as store_id, 'c' || cast(1 + mod(n, 5) as string) as customer, "
    "1100 as subtotal, 66 as tax_paid, 1166 as order_total, "
    f"timestamp_add(timestamp '2018-01-01 08:00:00+00', interval n day) as ordered_at from {_NUMBERS}",
    "create or replace table raw.raw_items as select 'i' || cast(n as string) as id, "
    f"'o' || cast(n as string) as order_id, 'JAF-001' as sku from {_NUMBERS}",
)
TWICE = (Options("first build"), Options("later build"))


@dataclass(frozen=True)
class Project:
    """A public project and what it needs to be built."""

    name: str
    repository: Repository
    folder: str = "."  #: of the project, in its repository
    packages: tuple[Repository, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)  #: put into its dbt_project.yml
    tables: tuple[str, ...] = ()  #: statements that make its sources
    steps: tuple[Options, ...] = TWICE
    volatile: str = ""  #: columns that a build is written into: its times, threads, job ids, folders
    changed: tuple[tuple[str, str, str], ...] = ()  #: words of its files, and what stands there instead


PROJECTS = (
    Project("jaffle_shop", CLASSIC_SHOP),
    Project("jaffle-shop", SHOP, packages=(UTILS, DATE), tables=SHOP_TABLES),
    # Two models hold the time of their build, less some hours.
    Project("dbt-utils", UTILS, "integration_tests", packages=(UTILS,), volatile="created_at"),
    # One of its unit tests fails for real dbt, which then skips those of the same model it has not run yet; it takes
    # them from a set, in another order each time.
    Project(
        "dbt-audit-helper",
        AUDIT,
        "integration_tests",
        packages=(UTILS, AUDIT),
        steps=tuple(
            replace(step, exclude="unit_compare_classify_struct_identical_values_different_order")
            for step in TWICE
        ),
        volatile="created_at",
    ),
    Project(
        "dbt_artifacts",
        ARTIFACTS,
        "integration_test_project",
        packages=(ARTIFACTS,),
        # A compilation happens in our setup, and has no time of its own. The ids are hashes of the invocation's. Rows stand
        # at fixed hours of the day of the build, which may be those of one of the two builds.
        volatile=r"thread_id|transaction_ts__hourly|compile_started_at|query_completed_at|\w*runtime|adapter_response|invocation_args|"
        r"\w+_execution_id",
        # A model begins at a moment of its parsing, to the microsecond, which is another one in each of the two builds.
        changed=(("models/microbatch.sql", "second=0)", "second=0, microsecond=0)"),),
    ),
    Project(
        "jaffle_shop with elementary",
        CLASSIC_SHOP,
        packages=(UTILS, ELEMENTARY),
        config={"models": {"elementary": {"+schema": "elementary"}}},
        # The dataset's name is among what the metadata's hash is made of.
        volatile=r"metadata_hash|thread_id|(compile|execute)_(started|completed)_at|execution_time|adapter_response|"
        r"(generated|created|updated|detected)_at|\w+_execution_id|\w*result_id|invocation_args|command|"
        # Elementary finds Airflow by its environment variables, which real dbt is not given here. Which macros a node has
        # called depends on whether it has ended by then.
        r"orchestrator|job_\w+|depends_on_macros",
    ),
)


def compare_public(bench: Bench, folder: Path, choice: Choice = ALL) -> Iterator[Row]:
    """
    Build each project twice, and yield what was found after each step.

    Args:
        bench: With a warehouse.
        folder: For checkouts.
        choice: Which of the projects.
    """
    for number, project in enumerate(PROJECTS):
        if not choice.takes(project.name):
            continue
        try:
            source = prepare(project, folder / str(number))
        except NotFetched as error:
            yield NotCompared(project.name, "", f"not fetched: {error}")
            continue
        for statement in project.tables:
            bench.warehouse.query(statement)
        pair = bench.pair(project.name, source)
        for side in (pair.theirs, pair.ours):
            side.names.volatile = project.volatile
        for options in project.steps:
            yield bench.step(pair, options)


def prepare(project: Project, folder: Path) -> Path:
    """
    Fetch a project with its packages, and return the folder it can be built from.

    Raises:
        NotFetched: One of the repositories cannot be had.
    """
    root = project.repository.extract(folder / "project") / project.folder
    packages = root / "dbt_packages"
    names = []
    for number, repository in enumerate(project.packages):
        checkout = repository.extract(folder / f"package-{number}")
        names.append(str(yaml.safe_load((checkout / "dbt_project.yml").read_text())["name"]))
        # A package's own tests are projects of their own, with packages of their own.
        shutil.copytree(checkout, packages / names[-1], ignore=_left_out(checkout))
    # dbt only counts them: what they are called is for whoever reads the file.
    declared = {"packages": [{"local": f"dbt_packages/{name}"} for name in names]}
    (root / "packages.yml").write_text(yaml.safe_dump(declared))
    (root / "package-lock.yml").unlink(missing_ok=True)
    if not names:
        (root / "packages.yml").unlink()
    if project.config:
        path = root / "dbt_project.yml"
        path.write_text(yaml.safe_dump(_merged(yaml.safe_load(path.read_text()), project.config)))
    for name, words, others in project.changed:
        text = (root / name).read_text()
        if words not in text:
            raise ValueError(f"{project.name}: {name} does not have {words!r}")
        (root / name).write_text(text.replace(words, others))
    return root


def _left_out(checkout: Path) -> Callable[[str, list[str]], list[str]]:
    """Return what leaves out the projects at the top of a package; deeper folders may be called like them."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        top = Path(folder) == checkout
        return [
            name for name in names if top and (name.startswith("integration_test") or name == "dbt_packages")
        ]

    return ignored


def _merged(document: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in more.items():
        there = merged.get(key)
        merged[key] = (
            _merged(there, value) if isinstance(there, dict) and isinstance(value, Mapping) else value
        )
    return merged


if __name__ == "__main__":
    from tests.fidelity.alone import main

    main(compare_public, __doc__)
