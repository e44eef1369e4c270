"""
Which project and which profile, found as dbt itself finds them.

Options win over ``DBT_...`` variables, and these over what stands in the project and beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_async.config import ProfileConfig
from cosmos_async.dbt.project.project_file import read_project
from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles.templates import rendered

PROFILES = "profiles.yml"


def find_project(folder: str | None, *, environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the project's folder: *folder*, or the nearest one from *cwd* upwards that is a dbt project."""
    named = folder or environ.get("DBT_PROJECT_DIR")
    if named:
        return cwd / named
    return next((path for path in (cwd, *cwd.parents) if (path / "dbt_project.yml").is_file()), cwd)


def find_profile(
    project: Path,
    *,
    profiles_dir: str | None,
    profile: str | None,
    target: str | None,
    variables: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: Path,
) -> ProfileConfig:
    """
    Return the profile dbt would use.

    Args:
        project: The project's folder.
        profiles_dir: ``--profiles-dir``.
        profile: ``--profile``.
        target: ``--target``.
        variables: ``--vars``; the name of a profile may be written with them.
        environ: The environment.
        cwd: Where the command was given.

    Raises:
        ProjectError: There is no readable project.
        ProfileError: It names no profile, or a name cannot be rendered.
    """
    named = profile or environ.get("DBT_PROFILE") or read_project(project).get("profile")
    if not named:
        raise ProfileError(
            f"{project / 'dbt_project.yml'} names no profile. Add `profile:` there, or give --profile."
        )
    name = rendered(str(named), variables, environ, "The profile's name")
    path = _folder(profiles_dir, environ, cwd) / PROFILES
    found = ProfileConfig(profile_name=name, target_name="", profiles_yml_filepath=path)
    chosen = target or environ.get("DBT_TARGET") or found.default_target()
    found.target_name = rendered(chosen, variables, environ, f"The target of profile {name!r}")
    found.validate()
    return found


def _folder(profiles_dir: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    named = profiles_dir or environ.get("DBT_PROFILES_DIR")
    if named:
        return cwd / Path(named).expanduser()
    return cwd if (cwd / PROFILES).is_file() else Path.home() / ".dbt"
