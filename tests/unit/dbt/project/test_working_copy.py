"""
dbt works in a copy; the user's folder stays as it is, and nothing is left behind.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.project.project_file import Project, declared_packages
from cosmos_async.dbt.project.working_copy import Workspace, open_workspace, refuse_lost_paths
from cosmos_async.exceptions import ProjectError
from cosmos_async.profiles import RenderedProfile

PROFILE = RenderedProfile(
    "shop",
    "prod",
    {"type": "bigquery", "project": "acme", "keyfile_json": "{{ env_var('DBT_ENV_SECRET_COSMOS_KEY') }}"},
    env={"DBT_ENV_SECRET_COSMOS_KEY": "hunter2", "DO_NOT_TRACK": "1"},
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project that was used before."""
    root = tmp_path / "dags" / "shop"
    write(root / "dbt_project.yml", "name: shop\ntarget-path: build\n")
    write(root / "models" / "staging" / "stg.sql", "select 1")
    write(root / "build" / "manifest.json", "{}")
    write(root / "target" / "partial_parse.msgpack", "of the project")
    write(root / "logs" / "dbt.log", "old")
    write(root / ".git" / "HEAD", "x")
    write(root / ".venv" / "pyvenv.cfg", "x")
    write(root / "package-lock.yml", "packages: []")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def content(root: Path) -> dict[str, str]:
    found = (Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names)
    return {str(path.relative_to(root)): path.read_text() for path in found}


def opened(project: Path, **options: Any):
    return open_workspace(project, PROFILE, {"PATH": "/bin"}, **options)


def test_the_copy_has_the_project_as_it_is(project: Path):
    """
    A path list may name any folder, and a plugin may read any file.
    """
    with opened(project) as workspace:
        assert content(workspace.project_dir) == content(project)


def test_what_is_large_and_not_dbts_input_is_linked(project: Path):
    """
    Old targets, logs, environments and the history cost one link each, however much is in them.
    """
    with opened(project) as workspace:
        links = {path.name for path in workspace.project_dir.iterdir() if path.is_symlink() and path.is_dir()}

        assert links == {"build", "target", "logs", ".git", ".venv"}


def test_what_dbt_reads_are_files(project: Path):
    """
    dbt 2's parser, which dbt 1.12 can use, passes by links to files. Times are kept: dbt compares them.
    """
    write(project / "models" / "profiles.yml", "a secret")
    write(project / "notes.txt", "nothing of dbt's")
    with opened(project) as workspace:
        there = {
            path.relative_to(workspace.project_dir).as_posix(): path
            for path in workspace.project_dir.rglob("*")
            if path.is_file() and not any(parent.is_symlink() for parent in path.parents)
        }
        links = {name for name, path in there.items() if path.is_symlink()}

        assert {"models/profiles.yml", "notes.txt"} <= links
        assert not {name for name in links if name.endswith((".sql", ".csv"))}
        assert "dbt_project.yml" in there.keys() - links
        model = next(name for name in there if name.endswith(".sql"))
        assert there[model].stat().st_mtime == (project / model).stat().st_mtime


def test_a_dbt_that_passes_by_links_gets_large_files_too(project: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A seed would be missed in silence. Packages beside the project are read likewise; what is a link for the user stays one.
    """
    monkeypatch.setattr("cosmos_async.dbt.project.working_copy._LARGEST", 10)
    write(project / "dbt_project.yml", "name: shop\npackages-install-path: ../packages\n")
    write(project / "seeds" / "large.csv", "more than ten bytes")
    write(project.parent / "packages" / "utils" / "macros" / "one.sql", "more than ten bytes")
    (project / "models" / "link.sql").symlink_to(project / "seeds" / "large.csv")

    for file_links in (True, False):
        with open_workspace(project, PROFILE, {}, file_links=file_links) as workspace:
            assert (workspace.project_dir / "seeds" / "large.csv").is_symlink() is file_links
            package = workspace.packages_dir / "utils" / "macros" / "one.sql"
            assert package.read_text() == "more than ten bytes"
            assert package.is_symlink() is file_links
            assert (workspace.project_dir / "models" / "link.sql").is_symlink()


def test_whatever_dbt_writes_leaves_the_project_untouched(project: Path):
    """
    New files land in real folders of the copy, and the one file that dbt changes in place is a copy.
    """
    before = content(project)

    with opened(project) as workspace:
        write(workspace.project_dir / "models" / "staging" / "new.sql", "x")
        write(workspace.project_dir / "dbt_packages" / "utils" / "dbt_project.yml", "x")
        (workspace.project_dir / "package-lock.yml").write_text("changed")
        write(workspace.target_path / "manifest.json", "x")

    assert content(project) == before


def test_the_copy_is_gone_afterwards(project: Path):
    """
    A worker's disk does not fill up, also when the task fails.
    """
    seen: list[Workspace] = []
    with suppress(ZeroDivisionError), opened(project) as workspace:
        seen.append(workspace)
        raise ZeroDivisionError

    for path in (seen[0].project_dir, seen[0].profiles_dir, seen[0].target_path, seen[0].log_path):
        assert not path.exists()


def test_secrets_that_a_profile_spells_out_are_hidden_from_logs(project: Path):
    """
    A user's own profiles.yml may hold a key or a login as such; dbt's lines are masked against it.
    """
    key = {"private_key": "-----BEGIN", "private_key_id": "{{ env_var('X') }}", "client_email": "a@b"}
    output = {
        "type": "bigquery",
        "keyfile_json": key,
        "refresh_token": "1//canary",
        "client_secret": "GOCSPX",
    }

    with open_workspace(project, RenderedProfile("shop", "prod", output), {"PATH": "/bin"}) as workspace:
        assert set(workspace.secrets) == {"-----BEGIN", "1//canary", "GOCSPX"}


def test_the_profile_is_for_this_user_only_and_without_secrets(project: Path):
    """
    A secret is in the environment of dbt's process and nowhere else.
    """
    with opened(project) as workspace:
        profile = workspace.profiles_dir / "profiles.yml"

        assert stat.S_IMODE(profile.stat().st_mode) == 0o600
        assert "hunter2" not in profile.read_text()
        assert workspace.env["DBT_ENV_SECRET_COSMOS_KEY"] == "hunter2"
        assert workspace.secrets == ("hunter2",)
        assert "hunter2" not in repr(workspace)


def test_dbt_is_told_where_to_work(project: Path):
    """
    By variables, which are no part of the invocation that `dbt retry` repeats.
    """
    with opened(project) as workspace:
        told = {
            "PROJECT_DIR": str(workspace.project_dir),
            "PROFILES_DIR": str(workspace.profiles_dir),
            "TARGET_PATH": str(workspace.target_path),
            "LOG_PATH": str(workspace.log_path),
            "WRITE_JSON": "True",
        }
        assert workspace.env == {
            "PATH": "/bin",
            "DBT_ENV_SECRET_COSMOS_KEY": "hunter2",
            "DO_NOT_TRACK": "1",
            "DBT_USE_COLORS": "False",
            **{f"DBT_{name}": value for name, value in told.items()},
            **{f"DBT_ENGINE_{name}": value for name, value in told.items()},
        }


@pytest.mark.parametrize("where", ["in the project", "above", "nowhere"])
def test_the_next_file_of_variables_upwards_is_the_projects(
    project: Path, where: str, monkeypatch: pytest.MonkeyPatch
):
    """
    dbt 1.12 looks for one from its working folder upwards. In the temporary folder anybody may have put one.
    """
    file = {"in the project": project / ".env", "above": project.parent / ".env"}.get(where)
    if file is not None:
        write(file, "DAY=1")
    temporary = project.parents[1] / "temporary"
    write(temporary / ".env", "DBT_ENGINE_PROFILES_DIR=/elsewhere")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    with opened(project) as workspace:
        assert workspace.project_dir.is_relative_to(temporary)
        above = (folder / ".env" for folder in (workspace.project_dir, *workspace.project_dir.parents))
        found = next(path for path in above if path.is_file())
        assert found.read_text() == ("" if file is None else "DAY=1")


@pytest.mark.parametrize(
    ("flags", "config", "env"),
    [
        ("flags: {use_colors: true}", {}, {}),
        ("", {"use_colors": True}, {}),
        ("", {}, {"DBT_USE_COLORS": "True"}),
        ("", {}, {"DBT_ENGINE_USE_COLORS": "True"}),
    ],
    ids=["project", "profiles.yml", "variable", "newer variable"],
)
def test_who_wants_colours_gets_them(project: Path, flags: str, config: dict[str, Any], env: dict[str, str]):
    """
    They are left out only where nobody has said anything, wherever that may be.
    """
    write(project / "dbt_project.yml", f"name: shop\n{flags}\n")
    profile = RenderedProfile("shop", "prod", {"type": "bigquery"}, flags=config)

    with open_workspace(project, profile, env) as workspace:
        assert workspace.env.get("DBT_USE_COLORS") == env.get("DBT_USE_COLORS")


def test_installed_packages_come_along_wherever_they_are_configured(project: Path):
    """
    A project that was deployed with its packages needs no package index.
    """
    write(project / "dbt_project.yml", "name: shop\npackages-install-path: vendor/packages\n")
    write(project / "vendor" / "packages" / "utils" / "dbt_project.yml", "name: utils")

    with opened(project) as workspace:
        assert (workspace.packages_dir / "utils" / "dbt_project.yml").read_text() == "name: utils"


def test_a_package_beside_the_project_is_found(project: Path):
    """
    `local: ../common` is how a repository shares macros between its projects.
    """
    write(project / "packages.yml", "packages:\n  - local: ../common\n")
    write(project.parent / "common" / "dbt_project.yml", "name: common")

    with opened(project) as workspace:
        assert (workspace.project_dir / ".." / "common" / "dbt_project.yml").read_text() == "name: common"


@pytest.mark.parametrize(
    "entry", ["../shared/models", "../../dags/shared/models", "vendor/../../shared/models"]
)
def test_what_looks_upwards_finds_what_is_there(project: Path, entry: str):
    """
    `model-paths: [models, ../shared/models]`, and whatever only a plugin knows of.
    """
    write(project.parent / "shared" / "models" / "common.sql", "select 1")
    write(project / "vendor" / "keep", "")

    with opened(project) as workspace:
        assert (workspace.project_dir / entry / "common.sql").read_text() == "select 1"
        assert (workspace.project_dir / ".." / "shared").resolve() == project.parent / "shared"


def test_every_folder_up_to_the_root_has_its_neighbours(project: Path, tmp_path: Path):
    """
    A plugin's file may be named from as far up as somebody likes.
    """
    write(tmp_path.parent / f"{tmp_path.name}-other" / "manifest.json", "{}")

    with opened(project) as workspace:
        found = workspace.project_dir / ".." / ".." / ".." / f"{tmp_path.name}-other" / "manifest.json"
        assert found.read_text() == "{}"


def test_a_project_reached_by_a_link_looks_upwards_from_where_it_is(project: Path, tmp_path: Path):
    """
    As git-sync deploys it: dbt, like every program, finds `..` in the folder that the link leads to.
    """
    write(project.parent / "shared" / "model.sql", "select 1")
    link = tmp_path / "current"
    link.symlink_to(project)

    with opened(link) as workspace:
        assert (workspace.project_dir / ".." / "shared" / "model.sql").read_text() == "select 1"
        assert workspace.original(f"{workspace.project_dir}/models") == f"{link}/models"


def test_what_dbt_says_of_files_beside_the_copy_is_said_of_the_users(project: Path):
    """
    An error that names a file must name one that the author can find.
    """
    with opened(project) as workspace:
        beside = workspace.project_dir.parent / "up" / "manifest.json"
        assert (
            workspace.original(f"{beside} does not exist")
            == f"{project.parent}/up/manifest.json does not exist"
        )


@pytest.mark.parametrize(
    "setting",
    ["../dbt_packages", "../vendor/deep/packages", "{{ env_var('PACKAGES', '../dbt_packages') }}", "linked"],
)
def test_dbt_deps_cannot_reach_the_users_packages(project: Path, setting: str):
    """
    It deletes the folder of installed packages and makes it anew, wherever the project has it; links included.
    """
    write(project / "dbt_project.yml", f'name: shop\npackages-install-path: "{setting}"\n')
    for folder in ("dbt_packages", "vendor/deep/packages"):
        write(project.parent / folder / "utils" / "dbt_project.yml", "name: utils")
    (project / "linked").symlink_to("../dbt_packages")
    before = content(project.parent)

    with opened(project) as workspace:
        packages = workspace.packages_dir
        assert (packages / "utils" / "dbt_project.yml").read_text() == "name: utils"
        shutil.rmtree(packages)  # refused, were it a link
        write(packages / "utils" / "dbt_project.yml", "new")

    assert content(project.parent) == before


def test_packages_that_are_not_there_yet_are_installed_into_the_copy(project: Path):
    """
    `packages-install-path: ../dbt_packages` before its first `dbt deps`.
    """
    write(project / "dbt_project.yml", "name: shop\npackages-install-path: ../dbt_packages\n")

    with opened(project) as workspace:
        write(workspace.project_dir / ".." / "dbt_packages" / "utils" / "dbt_project.yml", "new")

    assert not (project.parent / "dbt_packages").exists()


def test_what_dbt_writes_for_a_file_above_the_project_stays_in_its_folder(project: Path):
    """
    dbt puts `../../shared/x.sql` below `target/compiled/shop/../../shared`, which may be above its target folder.
    """
    up = os.path.join(*[".."] * len(project.parts))

    with opened(project) as workspace:
        written = Path(os.path.normpath(workspace.target_path / "compiled" / "shop" / up / "x.sql"))
        assert written.is_relative_to(workspace.log_path.parent)


def test_a_temporary_folder_within_the_project_is_no_part_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    Else the copy would hold itself.
    """
    (project / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(project / "tmp"))

    with opened(project) as workspace:
        assert list((workspace.project_dir / "tmp").iterdir()) == []


def test_a_folder_that_dbt_would_pass_over_in_silence_is_refused(project: Path, tmp_path: Path):
    """
    dbt says nothing of a model path that is not there: a node would be missing without a word.
    """
    write(project.parent / "shared" / "model.sql", "select 1")
    write(project / "dbt_project.yml", "name: shop\nmodel-paths: [models, ../shared, ../nowhere]\n")
    copy = tmp_path / "elsewhere" / "shop"
    shutil.copytree(project, copy)

    with pytest.raises(
        ProjectError, match=r"'\.\./shared' of model-paths in .*dbt_project\.yml is there, but cannot"
    ):
        refuse_lost_paths(Project.read(project, {}), copy)


def test_links_in_the_project_lead_where_they_led(project: Path, tmp_path: Path):
    """
    A folder that is linked into the project is part of it.
    """
    write(tmp_path / "shared" / "macro.sql", "shared")
    os.symlink("../../shared", project / "macros")

    with opened(project) as workspace:
        assert (workspace.project_dir / "macros" / "macro.sql").read_text() == "shared"


def test_what_dbt_parsed_is_kept_for_the_next_task(project: Path, tmp_path: Path):
    """
    The first task begins with the project's own, the next with what the first one left.
    """
    cache = tmp_path / "cache"
    with opened(project, cache_dir=cache) as workspace:
        assert (workspace.target_path / "partial_parse.msgpack").read_text() == "of the project"
        (workspace.target_path / "partial_parse.msgpack").write_text("newer")

    with opened(project, cache_dir=cache) as workspace:
        assert (workspace.target_path / "partial_parse.msgpack").read_text() == "newer"
    with opened(project, cache_dir=cache, variant="another dbt") as workspace:
        assert (workspace.target_path / "partial_parse.msgpack").read_text() == "of the project"


def test_without_a_cache_dbt_parses_anew(project: Path):
    """
    partial_parse=False means what it says.
    """
    with opened(project) as workspace:
        assert not (workspace.target_path / "partial_parse.msgpack").exists()


def test_a_failed_task_keeps_nothing(project: Path, tmp_path: Path):
    """
    What a dbt that was killed half-way left is not for others.
    """
    with suppress(ZeroDivisionError), opened(project, cache_dir=tmp_path / "cache") as workspace:
        (workspace.target_path / "partial_parse.msgpack").write_text("half")
        raise ZeroDivisionError

    assert not list((tmp_path / "cache").rglob("*.msgpack"))


def test_a_missing_project_is_named(tmp_path: Path):
    """
    A worker may lack what the dag-processor has.
    """
    with pytest.raises(ProjectError, match=r"dbt_project\.yml cannot be read on this worker: No such file"):
        opened(tmp_path / "nowhere").__enter__()


@pytest.mark.parametrize(("text", "why"), [("name: [", "is not YAML"), ("", "holds no settings")])
def test_a_broken_project_file_is_named(tmp_path: Path, text: str, why: str):
    """
    Before anything is copied or started.
    """
    write(tmp_path / "dbt_project.yml", text)

    with pytest.raises(ProjectError, match=why):
        opened(tmp_path).__enter__()


def test_packages_are_counted_over_both_files(tmp_path: Path):
    """
    dependencies.yml is the newer name of packages.yml; its projects are no packages.
    """
    write(tmp_path / "packages.yml", "packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.0.0\n")
    write(tmp_path / "dependencies.yml", "packages:\n  - local: ../common\nprojects:\n  - name: other\n")

    assert [next(iter(package)) for package in declared_packages(tmp_path)] == ["package", "local"]
