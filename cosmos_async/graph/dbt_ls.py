"""
``dbt ls``: ask dbt itself what a selection holds.

It is the invocation of the run, with ``ls`` for ``build``: what is listed here is what will be built. dbt works in a
copy of the project and needs neither the warehouse nor a credential, as ``dbt ls`` sends nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import DbtError
from cosmos_async.graph.manifest import read_manifest

if TYPE_CHECKING:
    from cosmos_async.dbt.invocation import DbtInvocation
    from cosmos_async.profiles import RenderedProfile

logger = logging.getLogger(__name__)

# Said explicitly, as the environment may say otherwise (DBT_LOG_FORMAT=json would drown the answer).
_FLAGS = ["--log-format", "text", "--log-level", "info", "--no-quiet", "--write-json"]
_FLAGS += ["--no-send-anonymous-usage-stats"]
_OUTPUT = ["--output", "json", "--output-keys", "unique_id"]


@dataclass(frozen=True)
class Answer:
    """What ``dbt ls`` said."""

    selected: frozenset[str]  #: unique ids
    manifest: dict[str, Any]


def arguments(invocation: DbtInvocation) -> list[str]:
    """Return dbt's arguments for listing what *invocation* selects."""
    from cosmos_async.dbt.command import dbt_arguments

    return dbt_arguments(replace(invocation, dbt_cmd_global_flags=_FLAGS), ("ls",), extra=_OUTPUT)


def ask(
    invocation: DbtInvocation,
    *,
    project_dir: Path,
    profile: RenderedProfile,
    environ: Mapping[str, str],
    requirements: list[str] | None,
    cache_dir: Path,
) -> Answer:
    """
    Run ``dbt ls`` and return its answer.

    Args:
        invocation: What the run will do.
        project_dir: The project; only read.
        profile: Without credentials.
        environ: The environment that dbt is to see.
        requirements: What to install for dbt where the invocation names none.
        cache_dir: Where dbt's parsed project and environments are kept.

    Raises:
        ConfigError: There is no dbt.
        DbtError: dbt refused; its own words are in the message.
        ProjectError: dbt left no manifest.
    """
    from cosmos_async.dbt.environment.interpreter import find_dbt
    from cosmos_async.dbt.process import Processes
    from cosmos_async.dbt.project.working_copy import open_workspace
    from cosmos_async.dbt.session import Dbt, variant_of

    lines: list[str] = []
    processes = Processes(lines.append)
    execution = invocation.execution_config
    found = find_dbt(
        execution.dbt_executable_path,
        requirements,
        execution.virtualenv_dir,
        processes=processes,
        cache_dir=cache_dir,
    )
    kept = cache_dir if invocation.project_config.partial_parse else None
    started = time.monotonic()
    with open_workspace(
        project_dir,
        profile,
        environ,
        cache_dir=kept,
        variant=f"ls {variant_of(found)}",
        file_links=isinstance(found, Path),
    ) as workspace:
        dbt = Dbt(found, workspace, processes, invocation)
        if invocation.install_deps:
            dbt.install_packages()
        lines.clear()
        asked = arguments(invocation)
        finished = dbt.run(asked)
        if finished.exit_code != 0:
            failure = dbt.failure(asked, finished)
            raise DbtError(f"{failure}\n{_hint(finished.words)}")
        selected = frozenset(
            str(json.loads(line)["unique_id"]) for line in lines if line.startswith('{"unique_id"')
        )
        manifest = read_manifest(workspace.target_path / "manifest.json")
    logger.info(
        "dbt ls of %s: %d resources in %.1f s", project_dir, len(selected), time.monotonic() - started
    )
    return Answer(selected, manifest)


def _hint(words: str) -> str:
    if "dbt deps" in words:
        return "Set ProjectConfig(install_dbt_deps=True), or run `dbt deps` before you deploy the project."
    if "comparison manifest" in words:
        return (
            'Set ProjectConfig(env_vars={"DBT_STATE": ...}) to the folder with the earlier manifest.json: unlike '
            "dbt_cmd_flags, it is there when the DAG is made, too."
        )
    return "Mend the project, the selection or the profile; the same command on a shell says the same."
