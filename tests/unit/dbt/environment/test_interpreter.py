"""
The Python that has the user's dbt is found, or made once and kept.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.environment import interpreter
from cosmos_async.dbt.environment.interpreter import DbtVersions, FoundDbt, dbt_of, dbt_versions, find_dbt
from cosmos_async.dbt.environment.program import DbtProgram
from cosmos_async.dbt.process import Processes
from cosmos_async.exceptions import ConfigError, DbtError


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that has dbt: this one, with two distributions of that name."""
    environment = tmp_path / "opt" / "dbt"
    bin_ = environment / "bin"
    bin_.mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = environment / "lib" / version / "site-packages"
    for name in ("dbt_core", "dbt_bigquery"):
        info = site / f"{name}-1.11.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.11.0\n")
    (environment / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    (bin_ / "python").symlink_to(os.path.realpath(sys.executable))
    return bin_ / "python"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def wheel(folder: Path, name: str) -> str:
    """Make an empty distribution and return how to require it."""
    path = folder / f"{name}-1.11.0-py3-none-any.whl"
    info = f"{name}-1.11.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.11.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return str(path)


@pytest.fixture
def requirements(tmp_path: Path) -> list[str]:
    """What a user would write as ["dbt-core", "dbt-bigquery"]."""
    return [wheel(tmp_path, "dbt_core"), wheel(tmp_path, "dbt_bigquery")]


def find(
    cache: Path, requirements: list[str] | None = None, *, lines: list[str] | None = None, **options: Any
) -> FoundDbt:
    processes = Processes((lines if lines is not None else []).append)
    executable, directory = options.pop("dbt_executable_path", None), options.pop("virtualenv_dir", None)
    return find_dbt(executable, requirements, directory, processes=processes, cache_dir=cache, **options)


def test_the_shebang_names_the_python(python: Path, tmp_path: Path):
    """
    The script may lie anywhere.
    """
    assert dbt_of(script(tmp_path / "elsewhere" / "dbt", f"#!{python}\nimport sys\n")) == python


def test_a_path_too_long_for_a_shebang_is_found_in_the_trampoline(python: Path, tmp_path: Path):
    """
    pip writes a shell script then, which is Python as well.
    """
    text = f"#!/bin/sh\n'''exec' {str(python)!r} \"$0\" \"$@\"\n' '''\nimport sys\n"

    assert dbt_of(script(tmp_path / "elsewhere" / "dbt", text)) == python


def test_a_relocatable_script_means_the_python_beside_it(python: Path):
    """
    As uv writes them; its command is a piece of shell.
    """
    text = "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\nimport sys\n"

    assert dbt_of(script(python.parent / "dbt", text)) == python


def test_a_wrapper_in_the_environment_means_the_python_beside_it(python: Path):
    """
    Some people set variables before dbt starts.
    """
    assert dbt_of(script(python.parent / "dbt", '#!/bin/bash\nexport X=1\nexec dbt.real "$@"\n')) == python


def test_env_looks_on_the_path(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    With or without options of its own.
    """
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")

    assert dbt_of(script(tmp_path / "a" / "dbt", "#!/usr/bin/env python\n")) == python
    assert dbt_of(script(tmp_path / "b" / "dbt", "#!/usr/bin/env -S X=1 python -E\n")) == python


def test_a_link_to_the_script_is_followed_only_if_needed(python: Path, tmp_path: Path):
    """
    pipx links scripts into the user's bin, which has a python of its own.
    """
    real = script(python.parent / "dbt", "#!/bin/sh\nexec something\n")
    link = tmp_path / "bin" / "dbt"
    link.parent.mkdir()
    link.symlink_to(real)
    (link.parent / "python").symlink_to(sys.executable)

    assert dbt_of(link) == python


def test_a_python_may_be_named_itself(python: Path):
    """
    It is what is wanted in the end.
    """
    assert dbt_of(python) == python


def test_the_link_of_an_environment_is_not_resolved(python: Path):
    """
    What it points to is a Python without dbt.
    """
    assert dbt_of(python) != Path(os.path.realpath(python))
    assert dbt_versions(python) == DbtVersions(core="1.11.0", bigquery="1.11.0")


def test_an_executable_that_is_not_there_is_named(tmp_path: Path):
    """
    The message names it and the two ways out.
    """
    with pytest.raises(
        ConfigError, match=r"dbt_executable_path '.*/dbt' is not an executable.*async_py_requirements"
    ):
        dbt_of(tmp_path / "dbt")


def program(path: Path, says: str) -> Path:
    """Make a program that is no Python script and says *says* of itself."""
    return script(path, f"#!/bin/sh\necho '{says}'\n")


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("dbt-core 2.0.0-alpha.4", ("2.0.0-alpha.4", "dbt-core")),
        ("dbt-fusion 2.0.0-preview.45", ("2.0.0-preview.45", "dbt-fusion")),
        ("dbt 2.0.9", ("2.0.9", "dbt-core")),
    ],
)
def test_dbt_2_is_told_by_what_it_says(tmp_path: Path, says: str, found: tuple[str, str]):
    """
    It is a program without a Python, or what wraps one.
    """
    path = program(tmp_path / "dbt", says)

    assert dbt_of(path) == DbtProgram(path, *found)
    assert dbt_of(path) == find(tmp_path, dbt_executable_path=path)


def test_a_compiled_program_that_is_no_dbt_2_is_refused(tmp_path: Path):
    """
    It does not even run here.
    """
    path = tmp_path / "dbt"
    path.write_bytes(b"\x7fELF\x02\x01\x01")
    path.chmod(0o755)

    with pytest.raises(ConfigError, match=r"compiled program, and .* does not say that it is dbt 2"):
        dbt_of(path)


def test_a_wrapper_that_says_dbt_1_is_no_dbt_2(tmp_path: Path):
    """
    What matters is the Python that has dbt's packages.
    """
    with pytest.raises(ConfigError, match="leads to no Python with dbt-core and dbt-bigquery"):
        dbt_of(program(tmp_path / "dbt", "dbt-core 1.11.0"))


def test_a_dbt_without_bigquery_is_refused(python: Path):
    """
    dbt-core alone cannot talk to BigQuery.
    """
    shutil.rmtree(next(python.parents[1].rglob("dbt_bigquery*")))

    with pytest.raises(ConfigError, match="leads to no Python with dbt-core and dbt-bigquery"):
        dbt_of(script(python.parent / "dbt", f"#!{python}\n"))
    with pytest.raises(ConfigError, match="has no dbt with BigQuery adapter"):
        dbt_versions(python)


def test_the_configured_executable_decides(python: Path, tmp_path: Path):
    """
    Requirements are for workers without a dbt.
    """
    executable = script(python.parent / "dbt", f"#!{python}\n")

    assert find(tmp_path / "cache", ["nothing-like-this"], dbt_executable_path=executable) == python
    assert not (tmp_path / "cache").exists()


def test_without_configuration_dbt_is_looked_for_on_the_path(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    As Cosmos does.
    """
    script(python.parent / "dbt", f"#!{python}\n")
    monkeypatch.setenv("PATH", str(python.parent))

    assert find(tmp_path / "cache") == python


def test_no_dbt_at_all_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The first thing a new user may see.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        ConfigError, match=r"no dbt on this worker.*dbt_executable_path.*async_py_requirements"
    ):
        find(tmp_path / "cache")


def test_an_environment_is_made_once_and_kept(tmp_path: Path, requirements: list[str]):
    """
    The order of requirements does not matter; the requirements do.
    """
    lines: list[str] = []

    made = find(tmp_path / "cache", requirements, lines=lines)
    again = find(tmp_path / "cache", requirements[::-1], lines=lines)

    assert made == again
    assert dbt_versions(made) == DbtVersions(core="1.11.0", bigquery="1.11.0")
    assert len([line for line in lines if line.startswith("Making an environment for dbt")]) == 1
    assert lines[-1] == "The environment for dbt is ready."


def test_pip_makes_it_where_there_is_no_uv(
    tmp_path: Path, requirements: list[str], monkeypatch: pytest.MonkeyPatch
):
    """
    Python's own means are enough; and virtualenv_dir is where it lies.
    """
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert shutil.which("uv") is None

    made = find(tmp_path / "cache", requirements, virtualenv_dir=tmp_path / "mine")

    assert made.is_relative_to(tmp_path / "mine")
    assert dbt_versions(made) == DbtVersions(core="1.11.0", bigquery="1.11.0")


def test_two_tasks_at_once_make_it_once(tmp_path: Path, requirements: list[str]):
    """
    The second one waits, says so, and uses what the first one made.
    """
    lines: list[str] = []
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(find(tmp_path / "cache", requirements, lines=lines)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found[0] == found[1]
    assert len([line for line in lines if line.startswith("Making an environment for dbt")]) == 1
    assert not list(found[0].parents[2].glob(".building-*"))


def test_what_a_killed_builder_left_is_not_taken_for_finished(tmp_path: Path, requirements: list[str]):
    """
    It built aside, and its lock went with it.
    """
    made = find(tmp_path / "cache", requirements)
    environment = made.parents[1]
    environment.rename(environment.parent / ".building-killed")
    (environment.parent / ".building-killed" / "bin" / "python").unlink()

    assert find(tmp_path / "cache", requirements) == made
    assert dbt_versions(made).core == "1.11.0"


def test_requirements_that_cannot_be_installed_are_named(tmp_path: Path):
    """
    The installer's own words are in the message, and nothing is left.
    """
    missing = str(tmp_path / "dbt_core-0.0.1-py3-none-any.whl")

    with pytest.raises(
        DbtError, match=r"dbt_core-0\.0\.1.* cannot be made(.|\n)*Correct async_py_requirements"
    ):
        find(tmp_path / "cache", [missing])

    assert [path.suffix for path in (tmp_path / "cache" / "environments").iterdir()] == [".lock"]


def test_requirements_without_dbt_are_refused(tmp_path: Path, requirements: list[str]):
    """
    Forgetting the adapter is easy.
    """
    with pytest.raises(ConfigError, match="has no dbt with BigQuery adapter"):
        find(tmp_path / "cache", requirements[:1])


def test_the_key_of_an_environment_knows_its_python(monkeypatch: pytest.MonkeyPatch):
    """
    An environment of another Python would not start.
    """
    environment = interpreter.Environment(("dbt-bigquery",), system_site_packages=False, options=())
    before = environment.folder(Path("/environments"))

    monkeypatch.setattr(sys, "version", "3.99.0")

    assert environment.folder(Path("/environments")) != before
