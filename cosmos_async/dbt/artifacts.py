"""
The artifacts that dbt wrote in its working copy, told as if it had run in the user's own project.

Tools that read them (catalogs, lineage, ``dbt retry``, state selectors) look for the folders that they name.
"""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_async.dbt.session import Dbt

Json = dict[str, Any]

RESULTS_FILE = "run_results.json"
MANIFEST_FILE = "manifest.json"
#: Beside a plan: ``run_results.json`` as dbt wrote it while it was recorded, with :data:`MACROS`.
RECORDED_FILE = "recorded_results.json"
#: Beside a plan: the statements that dbt wrote below ``run`` in its target folder, by name.
RUN_FILES = "run_files.json"
#: In the recorded results: how many of a node's macros dbt found while parsing, by unique id. It adds those that it calls.
MACROS = "parsed_macros"
TARGET_FILE = "target.zip"  #: what dbt writes into its target folder beside the artifacts


def recorded_artifacts(dbt: Dbt, recording: Json) -> dict[str, bytes]:
    """
    Return dbt's artifacts of the recording that has just ended, by the names they have beside the plan.

    Args:
        dbt: Which was recorded.
        recording: What the recorder wrote; that of dbt 2 tells of no macros.
    """
    target = dbt.workspace.target_path
    found: dict[str, bytes] = {}
    if (target / MANIFEST_FILE).is_file():
        found[MANIFEST_FILE] = dbt.workspace.own_artifact((target / MANIFEST_FILE).read_bytes())
    if (target / RESULTS_FILE).is_file():
        results = {**own_results(dbt, target / RESULTS_FILE), MACROS: recording.get("macros", {})}
        found[RECORDED_FILE] = json.dumps(results).encode()
    written = {
        path.relative_to(target).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted((target / "run").rglob("*"))
        if path.is_file()
    }
    found[RUN_FILES] = json.dumps(written).encode()
    return found


def zipped(files: Mapping[str, str]) -> bytes:
    """Return an archive of files by their names; equal files make equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def own_target(dbt: Dbt) -> Path:
    """
    Return a folder whose ``target`` has all that dbt wrote, told as if it had run in the user's own project.

    It is the project's working copy, where people who write callbacks look for it, and gone with that.

    Args:
        dbt: Which has run a command.
    """
    workspace = dbt.workspace
    for path in workspace.target_path.glob("*.json"):
        if path.name == RESULTS_FILE:
            path.write_text(json.dumps(own_results(dbt, path)), encoding="utf-8")
        else:
            path.write_bytes(workspace.own_artifact(path.read_bytes()))
    target = workspace.project_dir / "target"
    if target.is_symlink():  # to the user's own
        target.unlink()
    if not target.exists():
        target.symlink_to(workspace.target_path)
    return workspace.project_dir


def own_results(dbt: Dbt, path: Path) -> Json:
    """
    Return ``run_results.json`` with the arguments that dbt would have had in the user's own project.

    ``invocation_command`` is quoted, so that it can be repeated in a shell.

    Args:
        dbt: Which wrote it.
        path: The file.
    """
    workspace = dbt.workspace
    document: Json = json.loads(workspace.own_artifact(path.read_bytes()))
    arguments = document.get("args", {})
    file = dbt.invocation.profile_config.profiles_yml_filepath
    arguments["profiles_dir"] = str(workspace.source if file is None else Path(file).absolute().parent)
    if not workspace.says_target:
        arguments.pop("target_path", None)
    if arguments.get("which"):
        command = shlex.join(["dbt", *dbt.arguments(arguments["which"])])
        arguments["invocation_command"] = command
    return document
