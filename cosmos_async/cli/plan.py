"""
``cosmos-async plan``: record what ``dbt build`` would do, and show it.

The plan is made as a setup task makes it, by the same functions; only nothing is uploaded and nothing runs it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from pathlib import Path
from typing import Any

from cosmos_async.cli.page import Page, Style, show
from cosmos_async.cli.profile import find_profile, find_project
from cosmos_async.cli.progress import Progress
from cosmos_async.config import ExecutionConfig, ProjectConfig
from cosmos_async.constants import TestIndirectSelection
from cosmos_async.dbt.command import merged_vars
from cosmos_async.dbt.environment.interpreter import FoundDbt, dbt_at_hand, dbt_of
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.record import Planned, record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import open_dbt
from cosmos_async.exceptions import ConfigError
from cosmos_async.plan.model import Index, Json, Level, dump_index, dump_node
from cosmos_async.settings import default_cache_dir

FORMAT = 1  # of --json; raise it when a reader would have to change
NOTHING_PLANNED = 1
# What Airflow's operators ask Airflow's configuration for; without an Airflow only the variables remain.
CACHE_DIR = "AIRFLOW__COSMOS_ASYNC__CACHE_DIR"
ENDPOINT = "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT"

_DESCRIPTION = """\
Run dbt once, recording: it reads the warehouse and changes nothing there. Then show, for every node of the build, at
which level it is planned (S, G and N run from the triggerer, L is planned again once its upstreams are done, D is real
dbt on a worker), the reads that are checked, the operations with their SQL, and why a node is not cheaper."""
_EPILOG = """\
Further options of `dbt build` come after `--`:

  cosmos-async plan --select my_model+ --target prod -- --empty --defer --state path/to/artifacts

The page leaves out dbt's default comment before each statement, and runs of empty lines; --json leaves out nothing.
Exit codes: 0 planned; 1 nothing could be planned, or dbt said no; 2 wrong options."""


# Options that are told us rather than dbt, as more than dbt depends on them.
_OURS = (
    *("--project-dir", "--profiles-dir", "--profile", "-t", "--target"),
    *("-s", "--select", "-m", "--models", "--exclude", "--selector"),
    *("--indirect-selection", "--vars"),
)


def add_parser(commands: Any) -> None:
    """Add this command to the subparsers of the command line."""
    parser = commands.add_parser(
        "plan",
        help="show what a run would do",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="cosmos-async plan [options] [-- options of dbt build]",
        allow_abbrev=False,
    )
    parser.add_argument("--node", metavar="NAME", help="show this node only; its name or unique id")
    parser.add_argument(
        "--brief", action="store_true", help="show each node's level and reason, without its steps"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.add_argument(
        "--verbose", action="store_true", help="show dbt's own lines while it runs, on stderr"
    )
    parser.add_argument(
        "--dbt",
        metavar="PATH",
        help="the dbt to run, or the Python it is installed in; else the one beside us or on PATH",
    )
    dbt = parser.add_argument_group("dbt's options")
    dbt.add_argument(
        "--project-dir", metavar="DIR", help="else this folder, or the nearest one above that is a project"
    )
    dbt.add_argument(
        "--profiles-dir", metavar="DIR", help="else this folder if it has a profiles.yml, or ~/.dbt"
    )
    dbt.add_argument("--profile", metavar="NAME")
    dbt.add_argument("-t", "--target", metavar="NAME")
    for names in (("-s", "--select", "-m", "--models"), ("--exclude",)):
        dbt.add_argument(*names, metavar="TERM", nargs="+", action="extend")
    dbt.add_argument("--selector", metavar="NAME")
    dbt.add_argument(
        "--indirect-selection",
        choices=[choice.value for choice in TestIndirectSelection],
        help="else as the project's flags have it",
    )
    dbt.add_argument("--vars", metavar="YAML")
    dbt.add_argument("-f", "--full-refresh", action="store_true")
    dbt.add_argument("--threads", metavar="N")
    dbt.add_argument("--no-partial-parse", action="store_true")


def run(options: argparse.Namespace, further: list[str]) -> int:
    """
    Record, plan and print; return the exit code.

    Args:
        options: The parsed command line.
        further: Options for ``dbt build`` alone.

    Raises:
        ConfigError: The project, the profile or dbt cannot be found, or dbt selected nothing.
        DbtError: dbt itself refused; its own words are in the message.
        PlanError: The run cannot be planned at all.
    """
    misplaced = [word for word in further if word.split("=", 1)[0] in _OURS]
    if misplaced:
        raise ConfigError(f"{misplaced[0]} belongs before `--`: cosmos-async plan {misplaced[0]} ... -- ...")
    invocation = _invocation(options, further)
    progress = Progress(sys.stderr, verbose=options.verbose)
    cache = os.environ.get(CACHE_DIR)
    with open_dbt(
        invocation,
        Processes(progress),
        cache_dir=Path(cache) / "cosmos_async" if cache else default_cache_dir(),
        endpoint=os.environ.get(ENDPOINT, ""),
    ) as dbt:
        try:
            planned = record_plan(dbt, dag_id="cosmos-async", run_id="plan")
        finally:
            progress.clear()
        chosen = _picked(planned, options.node) if options.node else list(planned.plan.nodes)
        if options.json:
            print(json.dumps(document(planned, chosen), indent=2, ensure_ascii=False))
        else:
            page = Page(sys.stdout.write, Style.of(sys.stdout, os.environ))
            show(page, planned, chosen, brief=options.brief, alone=bool(options.node))
    if all(node.level is Level.DBT for node in planned.plan.nodes.values()):
        print("Error: no node could be planned; real dbt would run all of them on a worker.", file=sys.stderr)
        return NOTHING_PLANNED
    return 0


def document(planned: Planned, chosen: list[str]) -> Json:
    """Return the plan as JSON values: the run, its nodes in build order, and the steps before the first one."""
    plan = planned.plan
    index = json.loads(dump_index(Index(run=plan.run, nodes={}, prelude=plan.prelude)))
    nodes = []
    for unique_id in _in_build_order(planned, chosen):
        node = json.loads(dump_node(plan.nodes[unique_id]))
        recorded = planned.recording["nodes"][unique_id]
        nodes.append(
            {
                **node,
                "owner": plan.owners.get(unique_id),
                "depends_on": recorded["depends_on"],
                "each_run": planned.each_run.get(unique_id),
            }
        )
    return {
        "format": FORMAT,
        "run": index["run"],
        "levels": {level.value: count for level, count in plan.levels().items()},
        "prelude": index["prelude"],
        "nodes": nodes,
    }


def _in_build_order(planned: Planned, chosen: list[str]) -> list[str]:
    wanted = set(chosen)
    return [unique_id for unique_id in planned.recording["nodes"] if unique_id in wanted]


def _picked(planned: Planned, name: str) -> list[str]:
    nodes = planned.plan.nodes
    found = [unique_id for unique_id, node in nodes.items() if name in (unique_id, node.name)]
    if found:
        return found
    close = difflib.get_close_matches(name, {node.name for node in nodes.values()})
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(f"There is no node {name!r} among the {len(nodes)} that dbt selected.{meant}")


def _invocation(options: argparse.Namespace, further: list[str]) -> DbtInvocation:
    cwd, variables = Path.cwd(), merged_vars(options.vars)
    project = find_project(options.project_dir, environ=os.environ, cwd=cwd)
    project_config = ProjectConfig(project, partial_parse=not options.no_partial_parse)
    project_config.validate()
    return DbtInvocation(
        project_config=project_config,
        profile_config=find_profile(
            project,
            profiles_dir=options.profiles_dir,
            profile=options.profile,
            target=options.target,
            variables=variables,
            environ=os.environ,
            cwd=cwd,
        ),
        execution_config=ExecutionConfig(
            dbt_executable_path=_dbt(options.dbt),
            test_indirect_selection=options.indirect_selection
            and TestIndirectSelection(options.indirect_selection),
        ),
        select=options.select,
        exclude=options.exclude,
        selector=options.selector,
        vars=options.vars,
        full_refresh=options.full_refresh,
        threads=options.threads,
        dbt_cmd_flags=further,
    )


def _dbt(named: str | None) -> Path:
    """Return the program to run: dbt 1's Python, or dbt 2."""
    found: FoundDbt | None = dbt_of(named, option="--dbt") if named else dbt_at_hand()
    if found is None:
        raise ConfigError(
            f"There is no dbt: neither beside cosmos-async ({sys.executable}) nor on the path. Name the one of your "
            "project's environment, as in --dbt /opt/dbt/bin/dbt, or put it on the path."
        )
    return found if isinstance(found, Path) else found.path
