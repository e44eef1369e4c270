"""
The projects of dbt's adapter test suite, written into folders: `extract.py FOLDER`, run by the interpreter that has it.

Each test class defines a project by fixtures: models, seeds, snapshots, macros, tests, the project's config. They are called
here without pytest, and what they return is written as pytest would write it. Prints JSON: one object per project, with
its folder, or with the reason for which there is none. A class that defines the same project as another is left out.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call"
from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = "dbt.tests.adapter"
#: The target's dataset, which the two sides of a comparison call differently.
DATASET = "{{ env_var('FIDELITY_DATASET') }}"
#: Where pytest's fixtures of dbt write what they are given.
FOLDERS = {
    "models": "models",
    "properties": "models",
    "seeds": "seeds",
    "snapshots": "snapshots",
    "macros": "macros",
    "tests": "tests",
    "analyses": "analyses",
    "functions": "functions",
}
BUILT = ("models/", "seeds/", "snapshots/", "tests/", "functions/")
#: Of these areas no build is the subject.
NO_BUILD = {
    "catalog": "about `dbt docs generate`",
    "dbt_clone": "about `dbt clone`",
    "dbt_debug": "about `dbt debug`",
    "dbt_show": "about `dbt show`",
    "python_model": "Python models run on Dataproc, which has no stand-in",
}
#: BigQuery's words for the privileges and users of the grants' tests.
GRANTS = {
    "select": "roles/bigquery.dataViewer",
    "insert": "roles/bigquery.dataEditor",
    "fake_privilege": "roles/bigquery.nobody",
    "invalid_user": "user:nobody@example.com",
}

Json = dict[str, Any]
Files = dict[str, str]


class NotDefined(Exception):
    """A class does not define a project by itself."""


def classes() -> Iterator[type]:
    """Yield the test classes of the suite, by module and place in it."""
    root = Path(next(iter(importlib.import_module(ROOT).__path__)))
    for path in sorted(root.rglob("*.py")):
        # Most of its folders are no packages in name, so nobody lists their modules.
        name = ".".join((ROOT, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        module = importlib.import_module(name)
        own = [each for each in vars(module).values() if inspect.isclass(each)]
        for each in own:
            if each.__module__ == name and any(member.startswith("test") for member in dir(each)):
                yield each


class Fixtures:
    """The fixtures of one class, called by name as pytest does."""

    def __init__(self, owner: type) -> None:
        self._owner = owner
        self._instance = owner()
        self._module = sys.modules[owner.__module__]
        self._known: Json = {
            "unique_schema": DATASET,
            "prefix": DATASET,
            "dbt_profile_target": {"type": "bigquery", "threads": 1},
        }

    def get(self, name: str, default: Any = None) -> Any:
        """
        Return what a fixture returns, *default* where there is none.

        Raises:
            NotDefined: It needs the project to be there already, or the files of dbt's repository.
        """
        if name not in self._known:
            self._known[name] = self._call(name, default)
        return self._known[name]

    def _call(self, name: str, default: Any) -> Any:
        found = _function(inspect.getattr_static(self._owner, name, None))
        arguments: tuple[Any, ...] = (self._instance,)
        if found is None:
            found, arguments = _function(getattr(self._module, name, None)), ()
        if found is None:
            return default
        wanted = list(inspect.signature(found).parameters)[len(arguments) :]
        missing = object()
        given = {each: self.get(each, missing) for each in wanted}
        unknown = [each for each, value in given.items() if value is missing]
        if unknown:
            raise NotDefined(f"its {name} need the fixture {unknown[0]}")
        try:
            returned = found(*arguments, **given)
        except NotImplementedError:
            raise NotDefined(f"its {name} are for each adapter to define") from None
        return next(returned) if inspect.isgenerator(returned) else returned


def _function(fixture: Any) -> Callable[..., Any] | None:
    """Return the function behind a pytest fixture, None for anything else."""
    unwrap = getattr(fixture, "_get_wrapped_function", None)
    if unwrap is not None:
        return unwrap()  # type: ignore[no-any-return]
    hidden = getattr(fixture, "__pytest_wrapped__", None)
    return None if hidden is None else hidden.obj


def project(owner: type) -> tuple[Json, Files]:
    """
    Return the config and the files of the project that a test class defines.

    Raises:
        NotDefined: It defines none, or not by itself.
    """
    fixtures = Fixtures(owner)
    config: Json = {"name": "test", "profile": "test", "flags": {"send_anonymous_usage_stats": False}}
    update = fixtures.get("project_config_update", {})
    config.update(update if isinstance(update, dict) else _yaml(update))
    files: Files = {}
    for name, folder in FOLDERS.items():
        files.update(_flat(fixtures.get(name, {}) or {}, folder))
    if not any(path.startswith(BUILT) for path in files):
        raise NotDefined("it defines nothing to build")
    files = _without_variables(config.get("vars", {}), files)
    for name in ("packages", "dependencies", "selectors"):
        content = fixtures.get(name, {})
        if content and name != "selectors":
            raise NotDefined(f"its {name} would have to be downloaded")
        if content:
            files["selectors.yml"] = content if isinstance(content, str) else json.dumps(content)
    return config, files


def _flat(tree: Json, folder: str) -> Files:
    found: Files = {}
    for name, content in tree.items():
        if isinstance(content, dict):
            found.update(_flat(content, f"{folder}/{name}"))
        else:
            found[f"{folder}/{name}"] = content if isinstance(content, str) else json.dumps(content)
    return found


def _without_variables(variables: Json, files: Files) -> Files:
    """Put the target's dataset where files read it from a variable: dbt renders nothing in the values of `vars`."""
    for name, value in variables.items():
        if value == DATASET:
            read = re.compile(rf"""\bvar\(\s*['"]{name}['"]\s*\)""")
            files = {path: read.sub("env_var('FIDELITY_DATASET')", text) for path, text in files.items()}
    return files


def _yaml(text: str) -> Json:
    import yaml

    loaded: Json = yaml.safe_load(text)
    return loaded


def write(folder: Path, config: Json, files: Files) -> None:
    """Write a project. JSON is YAML, too."""
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(json.dumps(config, indent=1))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def joined(found: list[tuple[str, Json, Files]]) -> Iterator[tuple[str, Json, Files]]:
    """
    Yield the projects, those of the area `utils` put together as far as their files do not collide.

    Each of them is one model and one seed for one macro of dbt.
    """
    together: dict[str, tuple[Json, Files, list[str]]] = {}
    for name, config, files in found:
        if not name.startswith("utils.") or config.get("vars"):
            yield name, config, files
            continue
        key = json.dumps(config, sort_keys=True)
        there = together.setdefault(key, (config, {}, []))
        if any(there[1].get(path, content) != content for path, content in files.items()):
            yield name, config, files
            continue
        there[1].update(files)
        there[2].append(name)
    for config, files, names in together.values():
        yield (f"utils, {len(names)} classes together" if len(names) > 1 else names[0]), config, files


def main() -> None:
    """Write the projects and print what they are."""
    folder = Path(sys.argv[1])
    from dbt.tests.adapter.grants.base_grants import BaseGrants

    BaseGrants.privilege_grantee_name_overrides = lambda self: dict(GRANTS)
    for number in (1, 2, 3):
        os.environ[f"DBT_TEST_USER_{number}"] = f"user:reader{number}@example.com"
    told: list[Json] = []
    found: list[tuple[str, Json, Files]] = []
    seen: set[str] = set()
    for owner in classes():
        area = owner.__module__[len(ROOT) + 1 :].split(".")[0]
        name = f"{area}.{owner.__name__}"
        if area in NO_BUILD:
            told.append({"case": name, "reason": NO_BUILD[area]})
            continue
        try:
            config, files = project(owner)
        except NotDefined as error:
            told.append({"case": name, "reason": str(error)})
            continue
        mark = hashlib.sha256(json.dumps([config, files], sort_keys=True).encode()).hexdigest()
        if mark not in seen:
            seen.add(mark)
            found.append((name, config, files))
    for number, (name, config, files) in enumerate(joined(found)):
        write(folder / f"{number:03}", config, files)
        told.append({"case": name, "folder": f"{number:03}"})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
