"""
What a dbt project says of itself before dbt reads it: ``dbt_project.yml``, and the packages it asks for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.exceptions import ProjectError

PROJECT_FILE = "dbt_project.yml"
PACKAGE_FILES = ("packages.yml", "dependencies.yml")
#: Variables that dbt takes into its own environment since 1.12, and its flags for all projects of a user.
ENV_FILE = ".env"
_USER_SETTINGS = Path(".dbt", "user_settings.yml")
_PACKAGES = "dbt_packages"  # dbt's default
_ENV_VAR = re.compile(
    r"""\{\{\s*env_var\(\s*(['"])(?P<name>\w+)\1\s*(?:,\s*(['"])(?P<default>.*?)\3\s*)?\)\s*\}\}"""
)


@dataclass(frozen=True)
class Project:
    """
    A dbt project and the places it names.

    Args:
        root: Its folder, without links in its path: ``..`` leads from there.
        settings: The content of its ``dbt_project.yml``.
        env: What dbt's process sees.
    """

    root: Path
    settings: Mapping[str, Any]
    env: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, root: Path, env: Mapping[str, str]) -> Project:
        """
        Return the project in *root*.

        Raises:
            ProjectError: There is no readable ``dbt_project.yml``.
        """
        settings = read_project(root)
        return cls(root.resolve(), settings, env)

    @property
    def written(self) -> frozenset[str]:
        """The folders, relative to the root, that dbt writes its artifacts and logs into."""
        named = (self.path(key) for key in ("target-path", "log-path"))
        return frozenset(("target", "logs", *(os.path.normpath(path) for path in named if path)))

    @property
    def packages(self) -> str:
        """Where installed packages are, as the project names it."""
        return self.path("packages-install-path") or _PACKAGES

    def path(self, key: str) -> str | None:
        """Return the path that a setting such as ``target-path`` names, None where it names none."""
        return self._plain(self.settings.get(key))

    def path_lists(self) -> list[tuple[str, str]]:
        """Return what ``model-paths`` and its like name, each with the list it stands in."""
        found: list[tuple[str, str]] = []
        for key, value in self.settings.items():
            if str(key).endswith("-paths") and isinstance(value, list):
                found.extend((str(key), path) for path in map(self._plain, value) if path)
        return found

    def unknown_path(self) -> str | None:
        """Return a path of what the project is made of that only dbt can render, None where all are known."""
        lists = (value for key, value in self.settings.items() if str(key).endswith("-paths"))
        named = [path for paths in lists if isinstance(paths, list) for path in paths]
        named.append(self.settings.get("packages-install-path"))
        named += (package.get("local") for package in declared_packages(self.root))
        return next((str(path) for path in named if path and self._plain(path) is None), None)

    def outside(self) -> list[Path]:
        """Return the folders outside of the root that the project is made of."""
        named = [self.packages, *(path for _, path in self.path_lists())]
        named += filter(None, (self._plain(package.get("local")) for package in declared_packages(self.root)))
        paths = {Path(os.path.realpath(self.root / os.path.expanduser(path))) for path in named}
        return sorted(path for path in paths if path.exists() and not path.is_relative_to(self.root))

    def read_by_dbt(self) -> list[Path]:
        """Return the files, wherever they are, that dbt 1.12 takes variables and flags from; not those that say nothing."""
        above = (folder / ENV_FILE for folder in (self.root, *self.root.parents))
        variables = next((path for path in above if path.is_file()), None)  # it looks no further
        settings = Path(self.env.get("HOME") or Path.home()) / _USER_SETTINGS
        found = (variables, settings)
        return [path for path in found if path is not None and path.is_file() and path.stat().st_size]

    def _plain(self, value: Any) -> str | None:
        """Return a path as dbt renders it, None where it holds other Jinja than environment variables."""

        def found(match: re.Match[str]) -> str:
            return self.env.get(match["name"], match["default"]) or ""

        text = _ENV_VAR.sub(found, str(value)) if value else ""
        return text if text and "{{" not in text else None


def read_project(project: Path) -> dict[str, Any]:
    """
    Return the content of *project*'s ``dbt_project.yml``.

    Raises:
        ProjectError: It is missing or not YAML.
    """
    import yaml

    path = project / PROJECT_FILE
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(
            f"The dbt project's {path} cannot be read on this worker: {error.strerror}. Correct dbt_project_path, or "
            "bring the project to every worker as you do with the DAG files."
        ) from error
    except yaml.YAMLError as error:
        raise ProjectError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{path} holds no settings; a dbt project begins with `name:` there.")
    return document


def declared_packages(project: Path) -> list[dict[str, Any]]:
    """
    Return the entries below ``packages:`` in *project*'s package files.

    Raises:
        ProjectError: A file is not YAML.
    """
    import yaml

    found: list[dict[str, Any]] = []
    for name in PACKAGE_FILES:
        path = project / name
        if not path.is_file():
            continue
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ProjectError(f"{path} is not YAML: {error}") from error
        packages = document.get("packages") if isinstance(document, dict) else None
        found.extend(package for package in packages or [] if isinstance(package, dict))
    return found
