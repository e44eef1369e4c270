"""
The order of our tasks is that of ``dbt build``, pair by pair: compared with the graph that dbt itself compiles.

What counts is what dbt skips when a node or a test fails; that is also what it lets wait.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import TestBehavior
from cosmos_async.dag.dbt_dag import DbtDag
from cosmos_async.dbt.planner.planner import Plan, make_plan
from cosmos_async.graph.manifest import graph_of
from cosmos_async.plan.model import Index
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.execution.task_nodes import nodes_of
from tests.dbt.recording import ROOT, clean_environment, dbt_python, record
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

PROJECT = ROOT / "tests" / "projects" / "gating"

#: dbt's version, and what is selected.
CASES = [
    (NEWEST, ()),
    (NEWEST, ("--select", "left", "top", "far")),
    (NEWEST, ("--select", "right+", "side")),
    (NEWEST, ("--exclude", "mid", "lone", "three_in_a_line")),
    (NEWEST, ("--select", "child", "test_type:data", "test_type:unit")),
    (NEWEST, ("--select", "left+", "--indirect-selection", "cautious")),
    ("1.9", ()),
    ("1.9", ("--select", "left", "top", "far", "raw")),
]

Pairs = set[tuple[str, str]]


class Case(NamedTuple):
    """A selection of the project, as dbt sees it."""

    version: str
    selection: tuple[str, ...]
    project: Path
    manifest: dict[str, Any]
    selected: set[str]  #: nodes and all tests that are run
    pairs: Pairs  #: where the first one fails, dbt skips the second one

    def owners_plan(self, behavior: TestBehavior, *, detach: bool) -> Plan:
        """Return the plan of a recording in which all that is selected went well."""
        resources = {
            **self.manifest["nodes"],
            **self.manifest.get("functions", {}),
            **self.manifest["unit_tests"],
        }
        nodes = {
            unique_id: _recorded(unique_id, resource)
            for unique_id, resource in resources.items()
            if unique_id in self.selected
        }
        parents = {
            unique_id: resource["depends_on"].get("nodes", [])
            for unique_id, resource in resources.items()
            if unique_id.split(".")[0] not in ("test", "unit_test")
        }
        recording = {
            "format": 1,
            "nodes": nodes,
            "run": {"parents": parents, "on_run_start": []},
            "flags": dict.fromkeys(nodes, "Not looked at here."),
            "events": {},
            "fail_fast": False,
            "warn_error": False,
            **dict.fromkeys(
                ("project_name", "target_name", "invocation_id", "dbt_version", "adapter_version"), ""
            ),
        }
        return make_plan(
            recording,
            dag_id="d",
            run_id="r",
            created_at="2026-01-01T00:00:00+00:00",
            host="h",
            uploads=Path(),
            owned=behavior is not TestBehavior.AFTER_ALL,
            detach=detach,
        )


def _recorded(unique_id: str, resource: dict[str, Any]) -> dict[str, Any]:
    kind = unique_id.split(".")[0]
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": resource["name"],
        "fqn": resource["fqn"],
        "file": resource["original_file_path"],
        "materialized": "",
        "ephemeral": resource.get("config", {}).get("materialized") == "ephemeral",
        "relation": None,
        "compiled_code": None,
        "depends_on": resource["depends_on"].get("nodes", []),
        "status": "success",
        "message": "",
        "main_job": None,
    }


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The project for each version of dbt: functions are resources since 1.11."""
    folder = tmp_path_factory.mktemp("gating")
    (folder / "key.json").write_text("{}")
    copies = {}
    for version in {version for version, _ in CASES}:
        copies[version] = folder / version
        shutil.copytree(PROJECT, copies[version])
        if version == NEWEST:
            settings = copies[version] / "dbt_project.yml"
            settings.write_text(settings.read_text() + "\nvars:\n  functions: true\n")
    return copies


@pytest.fixture(scope="module")
def cases(projects: dict[str, Path]) -> dict[tuple[str, tuple[str, ...]], Case]:
    """Ask each dbt once for all of its selections."""
    found = {}
    for version, project in projects.items():
        selections = [selection for other, selection in CASES if other == version]
        places = ["--project-dir", str(project), "--profiles-dir", str(project)]
        asked = [["--quiet", "build", *selection, *places] for selection in selections]
        ended = subprocess.run(
            [str(dbt_python(version)), str(Path(__file__).with_name("compiled.py"))],
            input=json.dumps(asked),
            env=clean_environment(WRITES_KEY_FILE=str(project.parent / "key.json")),
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        manifest = json.loads((project / "target" / "manifest.json").read_text())
        for selection, answer in zip(selections, json.loads(ended.stdout.splitlines()[-1])):
            selected, pairs = _with_unit_tests(answer)
            found[version, selection] = Case(version, selection, project, manifest, selected, pairs)
    return found


def _with_unit_tests(answer: dict[str, Any]) -> tuple[set[str], Pairs]:
    """Return what dbt runs and in which order; it runs unit tests right before their model, and with it alone."""
    selected = set(answer["selected"])
    pairs = {(first, second) for first, after in answer["after"].items() for second in after}
    for model, tests in answer["unit_tests"].items():
        selected.update(tests)
        for test in tests:
            pairs |= {(test, model)} | {(test, second) for first, second in pairs if first == model}
            pairs |= {(first, test) for first, second in pairs if second == model and first not in tests}
    # Between models their unit tests stand in the way, too.
    of_model = {test: model for model, tests in answer["unit_tests"].items() for test in tests}
    pairs |= {(one, other) for one in of_model for other in of_model if (one, of_model[other]) in pairs}
    pairs -= {(one, other) for one in of_model for other in of_model if of_model[one] == of_model[other]}
    return selected, pairs


@pytest.fixture
def case(request: pytest.FixtureRequest, cases: dict[tuple[str, tuple[str, ...]], Case]) -> Case:
    """One of the cases."""
    return cases[request.param]


def render(
    case: Case, monkeypatch: pytest.MonkeyPatch, behavior: TestBehavior, *, detach: bool = False
) -> DAG:
    """Return the DAG of the case's selection."""
    graph = graph_of(case.manifest, case.selected)
    monkeypatch.setattr("cosmos_async.dag.dbt_dag.load_graph", lambda *args: graph)
    return DbtDag(
        dag_id="d",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        project_config=ProjectConfig(case.project),
        profile_config=ProfileConfig("gating", "dev", profiles_yml_filepath=case.project / "profiles.yml"),
        render_config=RenderConfig(test_behavior=behavior, should_detach_multiple_parents_tests=detach),
    )


def executed(dag: DAG, index: Index, selected: set[str]) -> dict[str, tuple[str, int]]:
    """Return where each node and test is executed: its task, and the position of its group within."""
    found: dict[str, tuple[str, int]] = {}
    for task in dag.tasks:
        if not hasattr(task, "work"):
            continue
        for position, group in enumerate(nodes_of(index, task.work, task.unique_id)):
            for unique_id in group:
                assert unique_id not in found, f"{unique_id} is executed twice"
                found[unique_id] = (task.task_id, position)
    # An ephemeral model is nowhere executed, but it has a task, which comes behind its unit tests.
    for unique_id in selected - set(found):
        kind, _, name = unique_id.split(".", 2)
        task_id = next(i for i in (f"{name}.run", f"{name}_run", f"{name}_{kind}_build") if i in dag.task_ids)
        found[unique_id] = (task_id, 1)
    return found


def ordered(dag: DAG, places: dict[str, tuple[str, int]]) -> Pairs:
    """Return the pairs of which the first one holds back the second one."""
    above = {
        task.task_id: {other.task_id for other in task.get_flat_relatives(upstream=True)}
        for task in dag.tasks
    }
    return {
        (first, second)
        for first, (task, position) in places.items()
        for second, (other, later) in places.items()
        if task in above[other] or (task == other and position < later)
    }


def between_tests(case: Case) -> Pairs:
    """
    Return the pairs of tests whose order is not kept where a parent of the second one is not selected.

    In dbt this parent waits for the first one although it is not built. The second one holds back nothing that the first
    one does not, so nodes are not concerned.
    """
    tests = {unique_id for unique_id in case.selected if unique_id.startswith("test.")}
    further = {
        test
        for test in tests
        for parent in case.manifest["nodes"][test]["depends_on"]["nodes"]
        if parent not in case.selected and not parent.startswith("source.")
    }
    return {(first, second) for first in tests for second in further}


def without(pairs: Pairs, unique_ids: set[str]) -> Pairs:
    """Return the pairs in which none of *unique_ids* is."""
    return {pair for pair in pairs if unique_ids.isdisjoint(pair)}


def id_of(param: tuple[str, tuple[str, ...]]) -> str:
    """Return a case's name."""
    version, selection = param
    return f"{version} {' '.join(selection) or 'everything'}"


@pytest.mark.parametrize("detach", [False, True], ids=["with their nodes", "detached"])
@pytest.mark.parametrize("case", CASES, indirect=True, ids=map(id_of, CASES))
def test_with_test_tasks_behind_each_node_the_order_is_dbts(
    case: Case, monkeypatch: pytest.MonkeyPatch, detach: bool
) -> None:
    """Everything that dbt runs is executed once, and each pair has dbt's order, or none as in dbt."""
    dag = render(case, monkeypatch, TestBehavior.AFTER_EACH, detach=detach)
    plan = case.owners_plan(TestBehavior.AFTER_EACH, detach=detach)
    places = executed(dag, plan.index(), case.selected)

    ours = ordered(dag, places)

    assert set(places) == case.selected
    assert ours - case.pairs == set()
    assert case.pairs - ours - between_tests(case) == set()


@pytest.mark.parametrize("case", CASES, indirect=True, ids=map(id_of, CASES))
def test_with_a_task_for_each_node_and_its_tests_the_order_of_nodes_is_dbts(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No node waits for more or less than in dbt.

    As a node and its tests are one task there, a test with a task of its own waits for its parents' tests, too, and so
    does a function for those of what it reads.
    """
    dag = render(case, monkeypatch, TestBehavior.BUILD)
    plan = case.owners_plan(TestBehavior.BUILD, detach=False)
    places = executed(dag, plan.index(), case.selected)
    ours = ordered(dag, places)
    # Nothing is built for an ephemeral model, and its task is that of its tests.
    ephemeral = {unique_id for unique_id in case.selected if unique_id == "model.gating.mid"}

    assert set(places) == case.selected
    assert without(case.pairs - ours - between_tests(case), ephemeral) == set()
    more = without(ours - case.pairs, ephemeral)
    assert {pair for pair in more if pair[1].split(".")[0] not in ("test", "function")} == set()
    assert all(first.startswith("test.") for first, _ in more)


@pytest.mark.parametrize("param", [CASES[0], CASES[1], CASES[4], CASES[-1]], ids=id_of)
async def test_the_recorder_sees_what_the_dag_was_made_of(
    cases: dict[tuple[str, tuple[str, ...]], Case],
    param: tuple[str, tuple[str, ...]],
    tmp_path: Path,
) -> None:
    """So that both give a test to the same task."""
    case = cases[param]

    async with FakeGoogle(project_id="writes-project") as google:
        recorded = await record(google, case.version, tmp_path, *case.selection, project=case.project)

    assert recorded.plan.owners == case.owners_plan(TestBehavior.AFTER_EACH, detach=False).owners
    assert set(recorded.plan.nodes) == case.selected - {"model.gating.mid"}
