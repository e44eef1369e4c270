"""
dbt's own options in a DAG: which mean the same there, which need a hand, and which are said elsewhere.

Pure. What an author writes in ``dbt_cmd_flags`` reaches dbt as it is, in setup, in real dbt on a worker and in the
results task alike. An option that would make them differ from the DAG's tasks, or from one another, is refused in
words that name the place for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cosmos_async.exceptions import ConfigError

_COPY = "the project is run in a copy of its own with the profile and target of ProfileConfig. Leave it out"
_SELECTION = (
    "tasks and runs are selected in one place. Set select, exclude and selector in RenderConfig, where "
    "`resource_type:unit_test` and its like are terms, too"
)
_REFUSED = {
    # Another value would make dbt write where nobody looks.
    **dict.fromkeys(("--project-dir", "--profiles-dir", "--target-path", "--log-path"), _COPY),
    **dict.fromkeys(("--profile", "--target", "-t"), _COPY),
    **dict.fromkeys(("--select", "-s", "--models", "--model", "-m", "--exclude", "--selector"), _SELECTION),
    **dict.fromkeys(("--resource-type", "--resource-types"), _SELECTION),
    **dict.fromkeys(("--exclude-resource-type", "--exclude-resource-types"), _SELECTION),
    "--indirect-selection": "the DAG has to know it as well. Set ExecutionConfig(test_indirect_selection=...)",
    # dbt takes its last --vars and forgets those before it.
    "--vars": "it would replace all other variables. Set ProjectConfig(dbt_vars=...), or vars in operator_args",
    "--no-write-json": "what became of a node is read from dbt's run_results.json. Leave it out",
}

#: Options that name a folder which dbt looks up in the project's root; and their variables.
_FOLDERS = ("--state", "--defer-state")
_FOLDER_VARIABLES = (
    "DBT_STATE",
    "DBT_DEFER_STATE",
    "DBT_ARTIFACT_STATE_PATH",
)  # dbt's older name for the first
_ENGINE = "DBT_ENGINE_"  # since 1.11 dbt prefers DBT_ENGINE_STATE to DBT_STATE


def checked(option: str, flags: Iterable[object] | None) -> list[str]:
    """
    Return dbt's *flags* as strings.

    Args:
        option: What the author calls them, such as ``dbt_cmd_flags``.
        flags: dbt's options and their values, one each; they may hold templates.

    Raises:
        ConfigError: One of them has its place elsewhere.
    """
    words = [str(flag) for flag in flags or ()]
    for word in words:
        name = word.split("=", 1)[0].strip()
        if name in _REFUSED:
            raise ConfigError(f"{option} has {name}, which is not available there: {_REFUSED[name]}.")
    return words


def anchored(arguments: Sequence[str], project: Path) -> list[str]:
    """
    Return dbt's *arguments* with relative folders of earlier artifacts found from the user's *project*.

    dbt itself would look for them from the working copy, which has no target folder and nothing around it.
    """
    found = list(arguments)
    for position, begin, folder in _named_folders(arguments):
        found[position] = begin + _at(project, folder)
    return found


def _named_folders(arguments: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the position of each word that names such a folder, what it begins with, and the folder."""
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in _FOLDERS and equals:
            yield position, f"{name}=", value
        elif position and arguments[position - 1] in _FOLDERS:
            yield position, "", word


def anchored_variables(env: Mapping[str, str], project: Path) -> dict[str, str]:
    """Return the variables of *env* that name such folders, likewise."""
    names = [*_FOLDER_VARIABLES, *(name.replace("DBT_", _ENGINE, 1) for name in _FOLDER_VARIABLES)]
    return {name: _at(project, env[name]) for name in names if env.get(name)}


def state_folders(arguments: Sequence[str], env: Mapping[str, str], project: Path) -> list[Path]:
    """Return the folders with artifacts of earlier runs that dbt is told of, by its arguments or by variables."""
    told = (folder for _, _, folder in _named_folders(anchored(arguments, project)))
    return sorted({Path(folder) for folder in (*told, *anchored_variables(env, project).values())})


def state_manifests(env: Mapping[str, str], project: Path) -> list[Path]:
    """Return the manifests that a selection such as ``state:modified`` is compared with, as *env* names them."""
    return [folder / "manifest.json" for folder in state_folders((), env, project)]


def _at(project: Path, folder: str) -> str:
    # Where the project is reached by a link, `..` leads from where it is.
    return os.path.realpath(project / os.path.expanduser(folder))
