"""
dbt 2 is run as it is, and what cannot be planned with it is its own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.artifacts import RECORDED_FILE, recorded_artifacts
from cosmos_async.dbt.endpoint.program import write_profile
from cosmos_async.dbt.environment.program import TRIED, DbtProgram
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.project.working_copy import Workspace
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.dbt_rules.program_artifacts import program_results
from cosmos_async.exceptions import ConfigError, DbtError, ProfileError
from cosmos_async.plan.model import Level

#: Says its version, its arguments and a part of its environment, and fails with the words that dbt 2 has for a project
#: in the older style.
DBT_2 = """\
#!/bin/sh
if [ "$1" = "--version" ]; then echo "dbt-core 2.0.7"; exit 0; fi
echo "$@ | $DBT_ENGINE_MANAGE_STATE $DBT_SEND_ANONYMOUS_USAGE_STATS | $RUST_BACKTRACE"
echo "  dbt-core 2.0.7"
echo "=================== Errors and Warnings ===================="
echo '[error] [DbtYamlValidationError (dbt1159)]: Deprecated test arguments: ["values"] at top-level detected.'
echo "  --> $PWD/models/staging.yml:16:39"
exit 1
"""


def _node(kind: str, name: str, *parents: str) -> dict[str, Any]:
    return {
        "unique_id": f"{kind}.shop.{name}",
        "resource_type": kind,
        "name": name,
        "package_name": "shop",
        "fqn": ["shop", name],
        "original_file_path": f"models/{name}.sql",
        "database": "p",
        "schema": "d",
        "alias": name,
        "relation_name": f"`p`.`d`.`{name}`" if kind == "model" else None,
        "config": {"materialized": "table" if kind == "model" else "test"},
        "depends_on": {"nodes": list(parents)},
        "raw_code": "select 1 as id",
    }


_NODES = [_node("model", "orders"), _node("test", "not_null", "model.shop.orders")]
MANIFEST: dict[str, Any] = {
    "metadata": {"project_name": "shop"},
    "nodes": {node["unique_id"]: node for node in _NODES},
    "sources": {},
    "macros": {},
}
#: Lists a project of one model and its test, and keeps what it was asked for.
LISTS = f"""\
#!{sys.executable}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parents[1]
with open(here / "asked", "a") as file:
    print(*sys.argv[1:], file=file)
if sys.argv[1] == "--version":
    print("dbt-core 2.0.7")
elif sys.argv[1] == "ls":
    manifest = {json.dumps(MANIFEST)!r}
    pathlib.Path(os.environ["DBT_TARGET_PATH"], "manifest.json").write_text(manifest)
    for unique_id in json.loads(manifest)["nodes"]:
        print(json.dumps({{"unique_id": unique_id}}))
else:
    sys.exit(3)
"""
#: The version that was tried, which asks its endpoint for one query and is killed while it builds.
KILLED = LISTS.replace("2.0.7", TRIED[0]).replace(
    "else:\n",
    """elif sys.argv[1] == "debug":
    import urllib.error, urllib.request, yaml
    profile = yaml.safe_load(pathlib.Path(os.environ["DBT_PROFILES_DIR"], "profiles.yml").read_text())
    (here / "no_proxy").write_text(os.environ["NO_PROXY"])
    address = profile["shop"]["outputs"]["prod"]["api_endpoint"] + "projects/p/jobs"
    try:
        urllib.request.urlopen(urllib.request.Request(address, b"{}", method="POST"))
    except urllib.error.HTTPError:
        sys.exit(1)
else:
    print("half of it is done", flush=True)
    os.kill(os.getpid(), 9)
""",
)
PROFILES = """\
shop:
  outputs:
    prod: {type: bigquery, method: oauth, project: p, dataset: d, maximum_bytes_billed: 10}
    partial: {type: bigquery, method: service-account-json, dataset: d, keyfile_json: {type: service_account}}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that behaves as dbt 2."""
    path = tmp_path / "bin" / "dbt"
    path.parent.mkdir()
    path.write_text(DBT_2)
    path.chmod(0o755)
    return path


def invocation(folder: Path, program: Path, target: str = "prod") -> DbtInvocation:
    project = folder / "shop"
    project.mkdir()
    (project / "dbt_project.yml").write_text("name: shop\n")
    (folder / "profiles.yml").write_text(PROFILES)
    return DbtInvocation(
        project_config=ProjectConfig(project),
        profile_config=ProfileConfig("shop", target, profiles_yml_filepath=folder / "profiles.yml"),
        execution_config=ExecutionConfig(dbt_executable_path=program),
    )


def dbt(folder: Path, program: Path, lines: list[str]) -> Dbt:
    workspace = Workspace(
        folder, folder, folder, folder, folder, folder, folder / "tree", {"RUST_BACKTRACE": "1"}
    )
    return Dbt(DbtProgram(program, "2.0.7"), workspace, Processes(lines.append), invocation(folder, program))


def test_the_profile_for_the_server_is_named_by_whatever_names_one(tmp_path: Path, program: Path) -> None:
    """Else the working copy's own profile would win, and with it the way to the real BigQuery."""
    with open_dbt(invocation(tmp_path, program), Processes(print), cache_dir=tmp_path / "cache") as opened:
        env = write_profile(opened, "http://127.0.0.1:1")
        told = {name for name in opened.workspace.env if name.endswith("_PROFILES_DIR")}

        assert {name: env[name] for name in told} == dict.fromkeys(told, env["DBT_PROFILES_DIR"])
        assert "http://127.0.0.1:1" in Path(env["DBT_PROFILES_DIR"], "profiles.yml").read_text()


def test_it_is_run_without_a_python(tmp_path: Path, program: Path) -> None:
    """Its own options come from us by its environment."""
    lines: list[str] = []

    finished = dbt(tmp_path, program, lines).run(["ls"])

    assert finished.exit_code == 1
    assert lines[0] == "ls | false false |"


def test_its_errors_are_its_own_words_and_the_way_out(tmp_path: Path, program: Path) -> None:
    """Without what it says on the way."""
    ready = dbt(tmp_path, program, [])

    said = str(ready.failure(["ls"], ready.run(["ls"])))

    assert "Errors and Warnings" not in said
    assert "Deprecated test arguments" in said
    assert f"{tmp_path}/models/staging.yml:16:39" in said
    assert said.endswith("dbt Core 1 runs it as it is.")


@pytest.mark.parametrize("way", [lambda dbt: dbt.python, lambda dbt: dbt.run_script("node_runner", [], [])])
def test_what_needs_a_python_says_so(tmp_path: Path, program: Path, way: Any) -> None:
    """Nothing of dbt 1's is tried with it."""
    with pytest.raises(ConfigError, match=r"dbt-core 2\.0\.7 .* has no Python"):
        way(dbt(tmp_path, program, []))


def test_another_version_than_the_one_that_was_tried_runs_each_node(tmp_path: Path, program: Path) -> None:
    """It is asked for its nodes and for nothing else, whatever its requests may be; and somebody is told."""
    program.write_text(LISTS)
    lines: list[str] = []
    told = invocation(tmp_path, program)

    with open_dbt(told, Processes(lines.append), cache_dir=tmp_path / "cache", endpoint="") as dbt:
        planned = record_plan(dbt, dag_id="d", run_id="r")
        template = json.loads(recorded_artifacts(dbt, {})[RECORDED_FILE])

    assert "maximum_bytes_billed 10" in lines[0]
    assert "dbt-core 2.0.7 was not tried" in lines[1]
    assert {node.level for node in planned.plan.nodes.values()} == {Level.DBT}
    assert planned.plan.nodes["model.shop.orders"].reason.startswith("dbt 2.0.7 was not tried")
    asked = [line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()]
    assert set(asked) == {"--version", "ls"}
    results = program_results(
        template, MANIFEST, planned.plan.nodes, {}, planned.plan.run, now=datetime.now(timezone.utc)
    )
    assert [result["status"] for result in results["results"]] == ["skipped", "skipped"]
    assert results["metadata"]["dbt_version"] == "2.0.7"


@pytest.mark.parametrize("when", ["start", "end"])
def test_hooks_of_a_run_that_nobody_would_run_are_refused(tmp_path: Path, program: Path, when: str) -> None:
    """Rather than left out."""
    hook = {
        **_node("operation", f"shop-on-run-{when}-0"),
        "original_file_path": "./dbt_project.yml",
    }
    nodes = {**MANIFEST["nodes"], hook["unique_id"]: hook}
    program.write_text(LISTS.replace(json.dumps(MANIFEST), json.dumps({**MANIFEST, "nodes": nodes})))
    told = invocation(tmp_path, program)

    with (
        open_dbt(told, Processes(print), cache_dir=tmp_path / "cache", endpoint="") as dbt,
        pytest.raises(ConfigError, match=f"has an on-run-{when} hook"),
    ):
        record_plan(dbt, dag_id="d", run_id="r")


def test_a_profile_that_it_cannot_use_is_refused(tmp_path: Path, program: Path) -> None:
    """By the names of what is missing."""
    told = invocation(tmp_path, program, "partial")

    with pytest.raises(ProfileError, match=r"target 'partial' .* lacks project_id, private_key_id"):
        open_dbt(told, Processes(print), cache_dir=tmp_path / "cache", endpoint="").__enter__()


def test_a_dbt_that_is_killed_while_it_is_recorded_leaves_no_plan(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has done so far is no plan, and the error says how it ended; a proxy is not asked for our server."""
    program.write_text(KILLED)
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    told = invocation(tmp_path, program)

    with (
        open_dbt(told, Processes(lambda _: None), cache_dir=tmp_path / "cache", endpoint="") as dbt,
        pytest.raises(DbtError, match=r"(?s)`dbt build .* ended with exit code -9:\nhalf of it is done"),
    ):
        record_plan(dbt, dag_id="d", run_id="r")

    assert (tmp_path / "no_proxy").read_text() == "intranet,127.0.0.1"


def test_a_dbt_without_its_driver_names_the_way_to_it(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for nothing without one, so it is not known where its requests would go."""
    words = "HTTP error: failed to lookup address information"
    program.write_text(
        KILLED.replace("    import urllib.error", f"    sys.exit({words!r})\n    import urllib.error")
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    told = invocation(tmp_path, program)

    with (
        open_dbt(told, Processes(lambda _: None), cache_dir=tmp_path / "cache", endpoint="") as dbt,
        pytest.raises(
            DbtError, match=rf"(?s){words}.*{tmp_path}/nothing/com.getdbt/adbc.*dbt system install-drivers"
        ),
    ):
        record_plan(dbt, dag_id="d", run_id="r")


def test_options_after_the_command_count_as_arguments_of_the_dag(tmp_path: Path, program: Path) -> None:
    """``--fail-fast`` stops other branches, whoever says it."""
    program.write_text(LISTS)
    told = replace(invocation(tmp_path, program), dbt_cmd_flags=["-x"])

    with open_dbt(told, Processes(print), cache_dir=tmp_path / "cache", endpoint="") as dbt:
        planned = record_plan(dbt, dag_id="d", run_id="r")

    assert planned.plan.run.fail_fast
