"""
Our own projects, built by real dbt and by us: `python -m tests.fidelity.own [--only NAME ...] [--json FILE]`.

`cases` has a node for each way in which dbt writes, `shapes` tables that change their columns, `kitchen` the common ones together with their tests, `wrong` the
mistakes people make. Then come projects that dbt refuses altogether.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.dbt_versions import HAS_1_12, NEWEST
from tests.fidelity.choice import ALL, Choice
from tests.fidelity.driver import Bench, Options
from tests.fidelity.rows import NotCompared, Row
from tests.warehouse.child import ROOT

PROJECTS = ROOT / "tests" / "projects"

FIVE_STATES = (
    Options("empty"),
    Options("existing"),
    Options("changed data", vars={"day": 2}),
    Options("changed model", vars={"day": 2, "model": 2}),
    Options("full refresh", vars={"day": 2, "model": 2}, full_refresh=True),
)
TWO_DAYS = (Options("empty"), Options("changed data", vars={"day": 2}))
CHANGING = (
    Options("empty"),
    Options("changed model", vars={"day": 2, "model": 2}),
    Options("changed data", vars={"day": 3, "model": 2}),
    Options("full refresh", vars={"day": 3, "model": 2}, full_refresh=True),
)
#: Without an own plan for each run: the first step builds, the second one is planned on what it left, the others go by that.
AGAIN = (
    Options("empty"),
    Options("existing"),
    Options("again", again=True),
    Options("once more", again=True),
)
#: By the plan of the second step, on days of which it knew nothing; a microbatch model begins two days ago.
_BEGIN = {"REPLANNED_BEGIN": (date.today() - timedelta(days=2)).isoformat()}
OTHER_DAYS = (
    Options("empty", env=_BEGIN),
    Options("existing", env=_BEGIN),
    Options("the next day", env=_BEGIN, again=True, later=timedelta(days=1)),
    Options("a week later", env=_BEGIN, again=True, later=timedelta(days=8)),
)
#: On the second day an overload of a function fails.
NEWS = (
    Options("empty"),
    Options("a bad overload", vars={"day": 2}),
    Options("full refresh", vars={"day": 3}, full_refresh=True),
)


def _of_variables(**values: str) -> dict[str, str]:
    """Return the file that dbt 1.12 takes variables from; that of the profile is ours, whatever it says."""
    lines = {**_BEGIN, **values, "DBT_ENGINE_PROFILES_DIR": "/nowhere"}
    return {".env": "".join(f"{name}='{value}'\n" for name, value in lines.items())}


_FEW = "plain of_the_day grown"
VARIABLES = (
    Options("empty", files=_of_variables(REPLANNED_NAME="somebody"), select=_FEW),
    Options("existing", select=_FEW),
    Options("again", select=_FEW, again=True),
    Options("another file", files=_of_variables(REPLANNED_NAME="somebody else"), select=_FEW),
    Options("the other again", select=_FEW, again=True),
)
_V2_PARSER = {**_BEGIN, "DBT_ENGINE_USE_V2_PARSER": "true"}
# With the parser that can be installed here, dbt 1.12 finds the materializations of no adapter for seeds and snapshots.
_PARSED = Options("empty", env=_V2_PARSER, select="plain stamped of_the_day")
PARSED_BY_DBT_2 = (_PARSED, replace(_PARSED, name="existing"))
ONCE = (Options("refused"),)


def changes() -> Iterator[Options]:
    """Yield steps that change what a plan is made of, each followed by one that goes by the plan it left."""
    state: dict[str, Any] = {"env": _BEGIN}
    yield Options("empty", **state)
    yield Options("existing", **state)
    yield Options("again", **state, again=True)
    plain = (PROJECTS / "replanned/models/plain.sql").read_text(encoding="utf-8")
    for name, change in {
        "another variable": {"vars": {"day": 2}},
        "another environment": {"env": {**_BEGIN, "REPLANNED_NAME": "somebody"}},
        "another model": {"files": {"models/plain.sql": f"{plain.strip()}, 'more' as added\n"}},
        "another package": {
            "files": {"installed/helper/macros/number.sql": "{% macro number() %}2{% endmacro %}"}
        },
        "another seed": {"files": {"seeds/codes.csv": "code,name\nde,Germany\nit,Italy\n"}},
        "another text": {"files": {"descriptions/codes.md": "{% docs codes %}Their codes.{% enddocs %}"}},
        "another profile": {"profile": {"priority": "batch", "maximum_bytes_billed": 1_000_000_000}},
        "one model more": {"files": {"models/more.sql": "select 1 as id"}},
    }.items():
        lasting = {key: value for key, value in change.items() if key in ("vars", "env")}
        state = {**state, **lasting}
        yield Options(name, **{**state, **change})
        if name == "one model more":
            # Its first run makes a table, so the next one finds another warehouse.
            yield Options(f"{name}, existing", **state)
        yield Options(f"{name}, again", **state, again=True)


@dataclass(frozen=True)
class Case:
    """A project and how often it is built."""

    name: str
    project: str  #: its folder below tests/projects
    steps: tuple[Options, ...]
    errors: tuple[str, ...] = ()  #: nodes that are meant to fail
    files: tuple[tuple[str, str], ...] = ()  #: what is put into the copy first
    profile: Mapping[str, Any] = field(default_factory=dict)  #: further keys of the profile's target
    version: str = NEWEST  #: of dbt
    new: bool = False  #: dbt 1.12 has brought what it is about
    fork: bool = True  #: dbt is imported once; else each run has a process with a clock of its own


WRONG = (
    "wrong_column", "wrong_view", "wrong_words", "wrong_jinja", "wrong_contract", "wrong_source", "wrong_before",
    "wrong_after", "wrong_growth", "wrong_strategy", "wrong_types", "wrong_key", "wrong_time", "wrong_test",
    "wrong_test_column",
)  # fmt: skip

_PROJECT = (PROJECTS / "wrong" / "dbt_project.yml").read_text(encoding="utf-8")
_COMMENTED = f"""{_PROJECT}
query-comment:
  comment: "for {{{{ node.name if node else 'the run' }}}} in {{{{ target.name }}}}"
  append: true
  job-label: true
"""
_UNCOMMENTED = f"{_PROJECT}\nquery-comment: null\n"
_OF_EACH_KIND = "numbers plain_table plain_view stamped by_check appended overwritten codes"

CASES = (
    Case("cases", "cases", FIVE_STATES),
    Case("shapes", "shapes", CHANGING, errors=("retyped", "untyped")),
    Case("kitchen", "kitchen", TWO_DAYS),
    # dbt 1.12 itself cannot point to a microbatch model: it makes a view "as None".
    Case("newest", "newest", NEWS, errors=("added", "batched"), new=True),
    Case("parsed by dbt 2", "replanned", PARSED_BY_DBT_2, new=True),
    Case(
        "variables in a file",
        "replanned",
        VARIABLES,
        # What is used while a project is parsed has a run that parses it serve itself alone.
        files=(("models/stamped.sql", "select 'a day' as started_on"),),
        new=True,
        fork=False,  # dbt reads the file when it is imported
    ),
    Case("kitchen, dbt 1.9", "kitchen", TWO_DAYS, version="1.9"),
    Case("cases, one plan", "cases", AGAIN),
    Case("shapes, one plan", "shapes", AGAIN, errors=("retyped", "untyped")),
    Case("kitchen, one plan", "kitchen", AGAIN),
    Case("kitchen, one plan, dbt 1.9", "kitchen", AGAIN, version="1.9"),
    Case("late, one plan", "late", AGAIN),
    Case("other days, one plan", "replanned", OTHER_DAYS, fork=False),
    Case(
        "changes, one plan",
        "replanned",
        tuple(changes()),
        # What is used while a project is parsed has a run that parses it serve itself alone.
        files=(("models/stamped.sql", "select 'a day' as started_on"),),
    ),
    Case("wrong", "wrong", TWO_DAYS, errors=WRONG),
    Case(
        "job options",
        "wrong",
        (Options("empty", select="good good_too right"),),
        files=(("dbt_project.yml", _COMMENTED),),
        profile={
            "priority": "batch",
            "maximum_bytes_billed": 1_000_000_000,
            "job_execution_timeout_seconds": 120,
            "reservation": "projects/p/locations/US/reservations/r",
        },
    ),
    Case(
        "no comment",
        "wrong",
        (Options("empty", select="good good_too right"),),
        files=(("dbt_project.yml", _UNCOMMENTED),),
    ),
    Case(
        "no rows", "cases", (Options("empty", flags=("--empty",), select=_OF_EACH_KIND, exclude="tested+"),)
    ),
    Case(
        "the first failure",
        "wrong",
        # One after the other: which of several nodes dbt has begun by then is chance.
        (Options("empty", flags=("--fail-fast",), select="first+"),),
        errors=("second",),
        files=(
            ("models/first.sql", "{{ config(materialized='table') }} select 1 as id"),
            ("models/second.sql", "{{ config(materialized='table') }} select idd from {{ ref('first') }}"),
            (
                "models/between.sql",
                "{{ config(materialized='ephemeral') }} select * from {{ ref('second') }}",
            ),
            ("models/third.sql", "select * from {{ ref('between') }}"),
            ("models/fourth.sql", "select * from {{ ref('third') }}"),
        ),
    ),
    Case(
        "a source nobody declared",
        "wrong",
        ONCE,
        files=(("models/lost.sql", "select * from {{ source('nobody', 'said') }}"),),
    ),
    Case(
        "a model nobody wrote",
        "wrong",
        ONCE,
        files=(("models/lost.sql", "select * from {{ ref('nothing') }}"),),
    ),
    Case(
        "a circle",
        "wrong",
        ONCE,
        files=(
            ("models/one.sql", "select * from {{ ref('other') }}"),
            ("models/other.sql", "select * from {{ ref('one') }}"),
        ),
    ),
    Case(
        "a macro nobody wrote",
        "wrong",
        (Options("empty"),),
        errors=(*WRONG, "lost"),
        files=(("models/lost.sql", "select {{ no_such_macro() }}"),),
    ),
    Case(
        "a setting nobody knows",
        "wrong",
        ONCE,
        files=(("dbt_project.yml", f"{_PROJECT}\nmodle-paths: [models]\n"),),
    ),
    Case("no YAML", "wrong", ONCE, files=(("models/more.yml", "models: [\n"),)),
    Case(
        "a snapshot without a key",
        "wrong",
        ONCE,
        files=(
            (
                "snapshots/more.yml",
                "snapshots:\n  - name: keyless\n    relation: ref('right')\n    config: {strategy: check, check_cols: all}\n",
            ),
        ),
    ),
    Case("an unknown selector", "wrong", (Options("refused", selector="nobody_knows_it"),)),
    Case(
        "an unknown way to build",
        "wrong",
        (Options("failed", vars={"day": 3}, select="wrong_kind"),),
        errors=("wrong_kind",),
    ),
)


#: What neither side can be tried with here.
UNTRIED = {
    "Python models": "nothing stands in for Dataproc and BigFrames here; real dbt runs them on a worker (level D)",
    "KMS keys and policy tags": "the local warehouse has no key service and no taxonomies",
}


def compare_own(bench: Bench, folder: Path, choice: Choice = ALL) -> Iterator[Row]:
    """
    Yield the comparison of each step of each case.

    Args:
        bench: Where to build.
        folder: Not needed here.
        choice: Which of the cases.
    """
    for case in CASES:
        if not choice.takes(case.name):
            continue
        if case.new and not HAS_1_12:
            yield NotCompared(case.name, "any", "dbt 1.12 has brought it")
            continue
        own = replace(bench, version=case.version, fork=bench.fork and case.fork, key=case.fork)
        pair = own.pair(case.name, PROJECTS / case.project, profile=case.profile)
        for name, text in case.files:
            (pair.project / name).write_text(text)
        for step in case.steps:
            yield own.step(pair, step, errors=case.errors)
    for name, reason in UNTRIED.items():
        if choice.takes(name):
            yield NotCompared(name, "any", reason)


if __name__ == "__main__":
    from tests.fidelity.alone import main

    main(compare_own, __doc__)
