"""
The flags that dbt ends up with are the author's: those of plain ``dbt build``, but for a few with a reason.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.running.conftest import KITCHEN, OpenDbt

pytestmark = pytest.mark.dbt

# It ends dbt as soon as its flags are made.
SHOW = """\
import json
import os
import sys
from dbt.cli import requires
from dbt.cli.main import cli

def show(flags):
    print(json.dumps({name: str(value) for name, value in vars(flags).items()}), flush=True)
    os._exit(0)

requires.set_flags = show
cli(sys.argv[1:])
"""
#: Those that differ, and why.
OURS = {
    "PROJECT_DIR": "the working copy",
    "PROFILES_DIR": "where the profile is written without its secrets",
    "TARGET_PATH": "the task's own",
    "LOG_PATH": "the task's own",
    "PROFILE": "ProfileConfig names it",
    "TARGET": "ProfileConfig names it",
    "USE_COLORS": "Airflow's log shows their codes",
    "USE_COLORS_FILE": "dbt takes it from the former; the file is gone with the task",
}
PROJECTS = {
    "nothing is said": ("", {}),
    "the project says something": (
        "flags: {indirect_selection: cautious, fail_fast: true, write_json: false, use_colors: true, quiet: true, "
        "partial_parse: false, send_anonymous_usage_stats: false, printer_width: 120, cache_selected_only: true}",
        {},
    ),
    "the environment says something": (
        "",
        {
            "DBT_INDIRECT_SELECTION": "buildable",
            "DBT_PARTIAL_PARSE": "false",
            "DBT_FULL_REFRESH": "true",
            "DBT_LOG_FORMAT": "json",
            "DBT_WARN_ERROR": "true",
        },
    ),
}


@pytest.mark.parametrize("case", PROJECTS)
def test_an_empty_configuration_leaves_dbt_its_flags(
    opened: OpenDbt,
    executable: Path,
    environment: dict[str, str],
    tmp_path: Path,
    lines: list[str],
    case: str,
):
    """
    What our defaults say to dbt overrules what the project says, so they say nothing.
    """
    settings, variables = PROJECTS[case]
    project = tmp_path / "shop"
    project.mkdir()
    (project / "dbt_project.yml").write_text(f"name: shop\nversion: '1.0'\nprofile: kitchen\n{settings}\n")
    script = tmp_path / "show.py"
    script.write_text(SHOW)

    plain = subprocess.run(
        [executable.parent / "python", script, "build"],
        cwd=project,
        env={**environment, **variables, "PATH": os.environ["PATH"], "DBT_PROFILES_DIR": str(KITCHEN)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with opened(project, env=variables) as dbt:
        lines.clear()
        finished = dbt.run_python([script, *dbt.arguments("build")])
        assert finished.exit_code == 0, finished.words

    expected, ours = flags(plain.splitlines()), flags(lines)
    reasons = (
        {**OURS, "WRITE_JSON": "what became of a node is read there"} if "write_json" in settings else OURS
    )
    if "use_colors" in settings:
        reasons = {name: why for name, why in reasons.items() if "USE_COLORS" not in name}
    assert {name for name in expected if ours[name] != expected[name]} <= set(reasons)
    assert set(ours) == set(expected)


def flags(lines: list[str]) -> dict[str, Any]:
    """Return the flags that a script has shown, without what tells how dbt was called."""
    shown: dict[str, Any] = json.loads(next(line for line in lines if line.startswith("{")))
    return {
        name: value
        for name, value in shown.items()
        if name.isupper() and name not in ("INVOCATION_COMMAND", "WHICH")
    }
