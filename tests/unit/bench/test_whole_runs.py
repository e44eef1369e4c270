"""What the benchmark of whole runs works out of what it has seen."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from tests.airflow.metadata import TaskState
from tests.bench import plot
from tests.bench.contenders import NAMES, QUICK, Bench, Runs, dag_file, measured
from tests.bench.figures import Figures, median, read, write
from tests.bench.layered import Case
from tests.bench.runs import RunFailed, Slots, Took
from tests.bench.standin import TEST, part

CASE = Case(layers=3, width=4, tests=1, job_ms=2000)
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)
TOOK = Took(wall=20.0, first_job=5.0, tail=1.0, worker=3.0, cpu=4.0)


def task(task_id: str, seconds: float, pid: int | None = 1) -> TaskState:
    """Return a task that has ended, so many seconds after it began."""
    ended = BEGAN + timedelta(seconds=seconds)
    return TaskState(task_id, -1, "success", 1, "Operator", pid, BEGAN, ended)


def test_the_critical_path_of_one_column_is_the_sum_of_its_jobs() -> None:
    """Each model is behind the test of the one above."""
    jobs = [part("m0_0"), TEST, part("m1_0"), TEST]

    assert Case(layers=2, width=1, tests=1, job_ms=2000).critical_path() == pytest.approx(2 * sum(jobs))


def test_tests_of_one_model_run_side_by_side() -> None:
    """So a second one makes no path longer, and none makes each shorter by one test in a layer."""
    one, two, none = (replace(CASE, tests=tests).critical_path() for tests in (1, 2, 0))

    assert one == two
    assert one - none == pytest.approx(3 * TEST * 2)


def test_late_models_read_rows_of_the_first_one(tmp_path: Path) -> None:
    """All of them, so they wait for it as well."""
    late = replace(CASE, late=True)
    models = sorted((late.write(tmp_path) / "models").glob("*.sql"))

    reading = [
        model.stem for model in models if "run_query('select id from ' ~ ref('m0_0'))" in model.read_text()
    ]
    assert reading == [f"m{layer}_{number}" for layer in (1, 2) for number in range(4)]
    assert late.critical_path() >= CASE.critical_path()


def test_no_way_through_the_project_is_longer_than_the_critical_path() -> None:
    """Every way is tried, of models that read the one above them and its neighbour."""
    ways = [[number] for number in range(4)]
    for _ in range(2):
        ways = [[*way, (way[-1] - step) % 4] for way in ways for step in (0, 1)]
    lengths = [sum(part(f"m{layer}_{number}") + TEST for layer, number in enumerate(way)) for way in ways]

    assert CASE.critical_path() == pytest.approx(2 * max(lengths))


@pytest.mark.parametrize("tests", [0, 1, 2])
def test_the_project_has_the_models_and_tests_that_are_counted(tmp_path: Path, tests: int) -> None:
    """A run with fewer jobs counts as failed."""
    case = replace(CASE, tests=tests)
    project = case.write(tmp_path)
    models = sorted(path.stem for path in (project / "models").glob("*.sql"))
    described = yaml.safe_load((project / "models/schema.yml").read_text())["models"]

    assert sorted(each["name"] for each in described) == models
    assert case.models == len(models) == 12
    assert case.jobs == 12 + sum(len(each["columns"][0]["data_tests"]) for each in described)
    assert "ref('m1_0')" in (project / "models/m2_3.sql").read_text()


def test_a_task_holds_a_worker_for_as_long_as_airflow_says_or_it_is_seen_running() -> None:
    """The latter is for those that were deferred in between; who stays in the triggerer holds none."""
    slots = Slots(100.0)
    slots.see(101.0, {"plan": "running", "watch": "running"})
    slots.see(104.0, {"watch": "deferred", "node": "deferred"})
    slots.see(106.0, {"watch": "running"})

    assert slots.seconds([task("plan", 1.5), task("watch", 6.5), task("node", 9.0, pid=None)]) == 1.5 + 3.0


def test_each_figure_has_its_own_median() -> None:
    """They need not be those of one run."""
    runs = [TOOK, replace(TOOK, wall=30.0, cpu=1.0), replace(TOOK, wall=22.0, cpu=9.0)]

    assert median(runs) == replace(TOOK, wall=22.0)


def test_the_table_tells_ratios_and_who_failed() -> None:
    """Without `dbt build --threads 64` there is nothing to divide by."""
    figures = Figures(CASE)
    figures.add("unchanged", TOOK)
    assert [row for row in figures.table().splitlines() if row.startswith("ours")] == [
        f"{'ours, nothing changed':24}    1    20.0       - {20 / CASE.critical_path():8.2f}"
        "        5.0    1.0     3.0    4.0"
    ]

    figures.add("dbt-64", replace(TOOK, wall=16.0))
    figures.add("watcher", RuntimeError("it ended"))
    rows = figures.table().splitlines()

    assert [row.split("  ")[0] for row in rows[2:4]] == ["dbt build --threads 64", "ours, nothing changed"]
    assert " 1.25 " in rows[3]
    assert rows[-1] == "Cosmos, WATCHER failed: it ended"


def test_who_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """Who was not asked for is not played; each configuration has a folder of its own."""
    played = []

    def play(bench: Bench, words: Sequence[str], folder: Path) -> Runs:
        played.append((tuple(words), folder))
        yield words[0], TOOK
        if "watcher" in words:
            raise RunFailed("it ended")

    bench = Bench(CASE, rounds=1, slots=3, beside=False)
    configurations = [(("dbt-16",), play), (("watcher",), play), (("unchanged", "changed"), play)]
    figures = Figures(CASE)
    for word, took in measured(bench, ["changed", "watcher"], tmp_path, configurations):
        figures.add(word, took)

    assert figures == Figures(CASE, {"watcher": [TOOK], "changed": [TOOK]}, {"watcher": "it ended"})
    assert played == [(("watcher",), tmp_path / "1"), (("changed",), tmp_path / "2")]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Also of who failed."""
    figures = Figures(CASE, {"unchanged": [TOOK, replace(TOOK, wall=21.5)]}, {"watcher": "it ended"})
    write(tmp_path / "runs.json", [figures], slots=16)

    assert read(tmp_path / "runs.json") == [figures]


def test_the_dag_files_differ_in_the_package_and_the_mode_alone() -> None:
    """As they do for a user who tries the other one."""
    theirs = dag_file(Path("/project"), package="cosmos", mode="WATCHER").splitlines()
    ours = dag_file(Path("/project"), package="cosmos_async", mode="AIRFLOW_ASYNC").splitlines()
    ast.parse("\n".join(ours))
    differing = [(one, other) for one, other in zip(theirs, ours) if one != other]

    assert len(theirs) == len(ours)
    assert len(differing) == 4  # three imports and the mode
    assert all(
        one.replace("WATCHER", "AIRFLOW_ASYNC").replace("cosmos", "cosmos_async") == other
        for one, other in differing
    )


def test_runs_of_one_project_come_together() -> None:
    """They may be measured in several sittings."""
    wider = replace(CASE, width=8)
    found = plot.merged(
        [
            Figures(CASE, {"dbt-64": [TOOK]}),
            Figures(wider),
            Figures(CASE, {"dbt-64": [TOOK], "changed": [TOOK]}),
        ]
    )

    assert found == [Figures(CASE, {"dbt-64": [TOOK, TOOK], "changed": [TOOK]}), Figures(wider)]
    with pytest.raises(ValueError, match="differ in their layers"):
        plot.merged([Figures(CASE), Figures(replace(CASE, layers=9))])


def test_a_line_goes_from_few_models_to_many() -> None:
    """Through the medians, for one number of tests."""
    wider, untested = replace(CASE, width=8), replace(CASE, tests=0)
    slower = replace(TOOK, wall=40.0)
    found = [
        Figures(wider, {"changed": [slower]}),
        Figures(untested, {"changed": [replace(TOOK, wall=7.0)]}),
        Figures(CASE, {"changed": [TOOK, slower, TOOK]}),
    ]

    assert plot.lines(found, 1, "wall") == {
        "changed": [(12, 20.0), (24, 40.0)],
        plot.PATH: [(12, CASE.critical_path()), (24, wider.critical_path())],
    }
    assert plot.lines(found, 1, "cpu") == {"changed": [(12, 4.0), (24, 4.0)]}


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0.0, [0, 1]),
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (61.0, [0, 20, 40, 60, 80]),
        (1000, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_ticks_are_round_and_reach_beyond_the_highest(highest: float, expected: list[float]) -> None:
    """There are a handful of them."""
    assert plot.ticks(highest) == pytest.approx(expected)


def test_the_picture_has_a_panel_for_each_number_of_tests_and_shows_who_was_measured() -> None:
    """Points lie within the axes, the slower one above the faster."""
    runs = {"dbt-64": [TOOK], "unchanged": [replace(TOOK, wall=10.0)]}
    drawn = plot.svg([Figures(replace(CASE, tests=tests), runs) for tests in (0, 2)], "wall")
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    texts = {each.text for each in root.iter(f"{space}text")}
    slower, faster = (
        [float(each.attrib["cy"]) for each in root.iter(f"{space}circle") if each.attrib["fill"] == colour][
            :2
        ]
        for colour in (plot.COLOURS["dbt-64"], plot.COLOURS["unchanged"])
    )  # what follows is the legend

    assert {
        "no tests per model",
        "2 tests per model",
        NAMES["dbt-64"],
        NAMES["unchanged"],
        plot.PATH,
    } <= texts
    assert NAMES["watcher"] not in texts
    assert len(slower) == len(faster) == 2
    assert all(plot.TOP <= above < below <= plot.TOP + plot.HEIGHT for above, below in zip(slower, faster))


def test_every_contender_has_a_colour_and_every_figure_a_word() -> None:
    """A new one is not forgotten."""
    assert set(plot.COLOURS) == set(NAMES) > set(QUICK)
    assert set(plot.WHAT) == {each.name for each in fields(Took)}
