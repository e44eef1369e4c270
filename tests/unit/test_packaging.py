"""
The wheel, the sdist, an editable install and the checkout have the same modules under the same class paths.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cosmos_async

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venvs" / "tools" / "bin" / "uv"
TRIGGER = "cosmos_async.triggers.dbt.BigQueryDbtTrigger"
ASK = (
    "import json, cosmos_async; from cosmos_async.triggers.dbt import BigQueryDbtTrigger as trigger; "
    "print(json.dumps([cosmos_async.__file__, trigger('node', 'n', 's', {}).serialize()[0]]))"
)


def modules(names: list[str], *, top: str = "") -> set[str]:
    """Return the Python files of our package among *names*, as they are below the folder *top*."""
    found = {name[len(top) :] for name in names if name.startswith(top) and name.endswith(".py")}
    return {name for name in found if name.startswith("cosmos_async/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built from a copy of what is in version control or about to be; the wheel from the sdist."""
    if not UV.exists():
        pytest.skip(f"there is no uv at {UV}")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if name.startswith(("tests/", "docs/")) or not os.path.lexists(ROOT / name):
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    subprocess.run([UV, "build", "-q", "--out-dir", out, source], check=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def ask(folder: Path, **env: str) -> list[str]:
    """Return where an interpreter that is started in *folder* has our package from, and the class path of a trigger."""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK],
        cwd=folder,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[str] = json.loads(told.stdout.splitlines()[-1])
    return answer


def test_wheel_and_sdist_have_every_module(built: tuple[Path, Path]) -> None:
    """The link to triggers/ is a folder in both, and no test or demo comes along."""
    wheel, sdist = built
    package = Path(cosmos_async.__file__).parent
    expected = {
        f"cosmos_async/{Path(folder, name).relative_to(package)}"
        for folder, _, names in os.walk(package, followlinks=True)
        for name in names
        if name.endswith(".py")
    }

    with zipfile.ZipFile(wheel) as file:
        in_wheel = file.namelist()
    with tarfile.open(sdist) as file:
        in_sdist = [member.name for member in file.getmembers() if member.isfile() or member.issym()]

    assert modules(in_wheel) == expected
    assert modules(in_sdist, top=f"{sdist.name.removesuffix('.tar.gz')}/") == expected
    assert {name.split("/")[0] for name in in_wheel if not name.startswith("cosmos_async")} == set()


def test_an_installed_wheel_has_the_same_class_path(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A task that was deferred by one kind of installation is carried on by another."""
    wheel, _ = built
    site = tmp_path / "site"
    install = [UV, "pip", "install", "-q", "--no-deps", "--target", site, "--python", sys.executable, wheel]
    subprocess.run(install, check=True)

    where, classpath = ask(tmp_path, PYTHONPATH=str(site))

    assert Path(where).is_relative_to(site)
    assert classpath == TRIGGER


@pytest.mark.parametrize("folder", ["checkout", "elsewhere"])
def test_checkout_and_editable_install_have_the_same_class_path(folder: str, tmp_path: Path) -> None:
    """The tests' own environment has an editable install."""
    where, classpath = ask(ROOT if folder == "checkout" else tmp_path)

    assert Path(where).is_relative_to(ROOT)
    assert classpath == TRIGGER
