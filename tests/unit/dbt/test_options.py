"""
An option of dbt means the same in a DAG, or it is refused in words that name the place for it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosmos_async.dag.operator_args import OperatorArgs
from cosmos_async.dbt.options import anchored, anchored_variables, checked
from cosmos_async.dbt.project.working_copy import open_workspace
from cosmos_async.exceptions import ConfigError
from cosmos_async.profiles import RenderedProfile

PROJECT = Path("/dags/dbt/shop")


@pytest.mark.parametrize(
    "flags",
    [
        ["--empty"],
        ["--sample", "3 days"],
        ["--defer", "--state", "artifacts", "--favor-state"],
        ["--warn-error-options", '{"include": "all"}'],
        ["--store-failures", "--no-partial-parse"],
        ["{{ params.flag }}"],
    ],
)
def test_what_means_the_same_reaches_dbt_untouched(flags: list[str]) -> None:
    """Options without a meaning of their own here, templates included."""
    assert checked("dbt_cmd_flags", flags) == flags


@pytest.mark.parametrize(
    ("flag", "way_out"),
    [
        ("--target=prod", "ProfileConfig"),
        ("-t", "ProfileConfig"),
        ("--select", "RenderConfig"),
        ("-s", "RenderConfig"),
        ("--exclude=legacy", "RenderConfig"),
        ("--selector", "RenderConfig"),
        ("--exclude-resource-type", "resource_type:unit_test"),
        ("--indirect-selection=cautious", r"ExecutionConfig\(test_indirect_selection=\.\.\.\)"),
        ("--vars", r"ProjectConfig\(dbt_vars=\.\.\.\)"),
        ("--no-write-json", "run_results.json"),
    ],
)
def test_what_would_part_the_runs_from_their_dag_is_refused(flag: str, way_out: str) -> None:
    """The message names the flag, and the place for it; at the DAG's import already."""
    with pytest.raises(ConfigError, match=f"dbt_cmd_flags has {flag.split('=')[0]}, .*{way_out}"):
        OperatorArgs.sort({"dbt_cmd_flags": [flag]})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["build", "--state", "prod/artifacts"], ["build", "--state", "/dags/dbt/shop/prod/artifacts"]),
        (["build", "--state", "target"], ["build", "--state", "/dags/dbt/shop/target"]),
        (["build", "--state=../kept"], ["build", "--state=/dags/dbt/kept"]),
        (["build", "--defer-state", "/mnt/kept"], ["build", "--defer-state", "/mnt/kept"]),
        (["build", "--select", "state:modified"], ["build", "--select", "state:modified"]),
    ],
)
def test_earlier_artifacts_are_found_from_the_users_project(given: list[str], told: list[str]) -> None:
    """The working copy has no target folder, and nothing lies around it."""
    assert anchored(given, PROJECT) == told


def test_variables_for_earlier_artifacts_are_found_likewise() -> None:
    """dbt 1.11 knows them by two names."""
    env = {"DBT_STATE": "kept", "DBT_ENGINE_DEFER_STATE": "../prod", "DBT_DEFER": "true"}

    assert anchored_variables(env, PROJECT) == {
        "DBT_STATE": "/dags/dbt/shop/kept",
        "DBT_ENGINE_DEFER_STATE": "/dags/dbt/prod",
    }


def test_nobody_leads_dbt_away_from_its_working_copy(tmp_path: Path) -> None:
    """dbt 1.11 prefers DBT_ENGINE_... to the variables it had before, and dbt 1.12 takes them from a file, too."""
    (tmp_path / "dbt_project.yml").write_text(json.dumps({"name": "shop"}))
    env = {"DBT_ENGINE_TARGET_PATH": "/elsewhere", "DBT_ENGINE_WRITE_JSON": "false", "DBT_STATE": "kept"}

    with open_workspace(tmp_path, RenderedProfile("shop", "dev", {}), env) as workspace:
        for prefix in ("DBT", "DBT_ENGINE"):
            assert workspace.env[f"{prefix}_PROFILES_DIR"] == str(workspace.profiles_dir)
            assert workspace.env[f"{prefix}_TARGET_PATH"] == str(workspace.target_path)
            assert workspace.env[f"{prefix}_WRITE_JSON"] == "True"
        assert workspace.env["DBT_STATE"] == str(tmp_path / "kept")
