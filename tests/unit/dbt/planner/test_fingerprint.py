"""Whatever dbt is given is in the fingerprint; what only looks different is not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.environment.interpreter import installed_packages
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.fingerprint import Fingerprint, why_no_fingerprint
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.project.working_copy import open_workspace
from cosmos_async.dbt.session import Dbt
from cosmos_async.plan.kept import first_difference
from cosmos_async.profiles import RenderedProfile

SALT = b"salt"


class World:
    """A project, a profile, an environment: all that can change."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.outside = folder / "shared"
        self.state = folder / "state"
        self.output: dict[str, Any] = {
            "type": "bigquery",
            "project": "acme",
            "dataset": "{{ env_var('DBT_ENV_SECRET_PLACE') }}",
            "token": "one-secret",
            "refresh_token": "{{ env_var('DBT_ENV_SECRET_TOKEN') }}",
        }
        self.env = {"NAME": "somebody", "OTHER": "1", "AIRFLOW_CTX_DAG_RUN_ID": "one", "HOME": str(folder)}
        self.options: dict[str, Any] = {"vars": {"day": 1}, "dbt_cmd_flags": ["--state", str(self.state)]}
        self.question: dict[str, Any] = {"sources": []}
        self.packages = {"dbt-core": "1.11.0"}
        for path, text in {
            self.project / "dbt_project.yml": "name: shop\nmodel-paths: [models, ../shared, target/made]\n",
            self.project / "target/made/a.sql": "select 3",
            folder / "packages/linked/dbt_project.yml": "name: linked\nmacro-paths: [macros, ../common]\n",
            folder / "packages/common/m.sql": "macro",
            self.project / "models/orders.sql": "select 1",
            self.project / "seeds/codes.csv": "a,b\n1,2\n",
            self.project / "dbt_packages/utils/macros/m.sql": "macro",
            self.project / "target/manifest.json": "written by dbt",
            self.outside / "more.sql": "select 2",
            self.state / "manifest.json": "{}",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        linked = folder / "linked"
        linked.mkdir()
        (linked / "circle").symlink_to(linked)
        (self.project / "models/linked").symlink_to(linked)
        (self.project / "dbt_packages/linked").symlink_to(folder / "packages/linked")
        (self.project / "models/nowhere.sql").symlink_to(folder / "nowhere")

    @contextmanager
    def dbt(self) -> Iterator[Dbt]:
        """Open a dbt that is never run."""
        invocation = DbtInvocation(
            project_config=ProjectConfig(self.project),
            profile_config=ProfileConfig("shop", "prod", profiles_yml_filepath="/dags/profiles.yml"),
            execution_config=ExecutionConfig(),
            **self.options,
        )
        profile = RenderedProfile("shop", "prod", self.output)
        with open_workspace(self.project, profile, self.env) as workspace:
            yield Dbt(Path(sys.executable), workspace, Processes(print), invocation)

    def fingerprint(self, salt: bytes = SALT) -> dict[str, Any]:
        """Take it."""
        with self.dbt() as dbt:
            return Fingerprint(dbt, self.question, salt=salt).with_environment(["NAME", "MISSING"])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """What is there at first."""
    world = World(tmp_path)
    # An interpreter that is asked takes its time.
    monkeypatch.setattr(
        "cosmos_async.dbt.planner.fingerprint.installed_packages", lambda python: dict(world.packages)
    )
    return world


def written(path: str, text: str = "another") -> Callable[[World], None]:
    def change(world: World) -> None:
        (world.project / path).resolve().parent.mkdir(parents=True, exist_ok=True)
        (world.project / path).write_text(text)

    return change


CHANGES: dict[str, tuple[Callable[[World], Any], str]] = {
    "a model": (written("models/orders.sql"), "the project's files (models/orders.sql)"),
    "a new model": (written("models/new.sql"), "the project's files (models/new.sql)"),
    "a seed": (written("seeds/codes.csv"), "the project's files (seeds/codes.csv)"),
    "a package": (written("dbt_packages/utils/macros/m.sql"), "dbt_packages/utils/macros/m.sql"),
    "a file of a linked folder": (written("../linked/l.sql"), "models/linked/l.sql"),
    "a file outside of a linked package": (written("../packages/common/m.sql"), "packages/common/m.sql"),
    "a model that is made below dbt's target folder": (written("target/made/a.sql"), "target/made/a.sql"),
    "a file outside": (written("../shared/more.sql"), "shared/more.sql"),
    "a model in a folder of logs": (written("../shared/logs/a.sql"), "shared/logs/a.sql"),
    "a second link": (
        lambda world: (world.project / "models/l").symlink_to(world.outside),
        "models/l/more.sql",
    ),
    "a place named by a secret": (
        lambda world: world.env.update(DBT_ENV_SECRET_PLACE="else"),
        "the environment variables",
    ),
    "older artifacts": (lambda world: world.env.update(DBT_ARTIFACT_STATE_PATH="x"), "the environment"),
    "the time zone": (lambda world: world.env.update(TZ="Asia/Tokyo"), "the environment variables"),
    "a selector": (written("selectors.yml"), "selectors.yml"),
    "a file of variables": (written(".env", "NAME=else"), "the project's files (.env)"),
    "a file of variables above": (written("../.env", "NAME=else"), "/.env)"),
    "the user's flags": (
        written("../.dbt/user_settings.yml", "flags: {full_refresh: true}"),
        "/.dbt/user_settings.yml)",
    ),
    "earlier artifacts": (written("../state/run_results.json"), "state/run_results.json"),
    "a file that is gone": (
        lambda world: (world.project / "models/orders.sql").unlink(),
        "models/orders.sql",
    ),
    "a variable": (lambda world: world.options.update(vars={"day": 2}), "the options"),
    "a flag": (lambda world: world.options.update(full_refresh=True), "the options"),
    "a selection": (lambda world: world.options.update(select="orders"), "the options"),
    "what Airflow asks": (lambda world: world.question.update(sources=["source.shop.raw.a"]), "the options"),
    "a package of Python": (lambda world: world.packages.update(pytz="2026"), "dbt's environment (pytz)"),
    "the profile": (lambda world: world.output.update(project="other"), "the profile"),
    "what dbt reads": (lambda world: world.env.update(NAME="else"), "the environment variables"),
    "what dbt misses": (lambda world: world.env.update(MISSING="found"), "the environment variables"),
    "dbt's own": (lambda world: world.env.update(DBT_FULL_REFRESH="1"), "the environment variables"),
    "Google's own": (lambda world: world.env.update(GOOGLE_CLOUD_PROJECT="x"), "the environment variables"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_given_to_dbt_counts(world: World, name: str) -> None:
    """And the difference is told in words that lead to it."""
    change, words = CHANGES[name]
    before = world.fingerprint()

    change(world)

    assert words in str(first_difference(before, world.fingerprint()))


def moved(world: World) -> None:
    """Deploy the same project to the same place once more."""
    shutil.copytree(world.project, world.project.with_name("again"), symlinks=True)
    shutil.rmtree(world.project)
    os.rename(world.project.with_name("again"), world.project)


SAME: dict[str, Callable[[World], Any]] = {
    "nothing": lambda world: None,
    "copied anew": moved,
    "touched": lambda world: os.utime(world.project / "models/orders.sql", (1, 1)),
    "what dbt wrote": written("target/manifest.json"),
    "a log": written("logs/dbt.log"),
    "Python's cache": written("models/__pycache__/x.pyc"),
    "git": written(".git/index"),
    "a virtual environment": written("venv/pyvenv.cfg"),
    "what nobody reads": lambda world: world.env.update(OTHER="2"),
    "the run": lambda world: world.env.update(AIRFLOW_CTX_DAG_RUN_ID="two"),
    "a secret": lambda world: world.output.update(token="another-secret"),
    "dbt's secrets": lambda world: world.env.update(DBT_ENV_SECRET_TOKEN="rotated"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_only_looks_different_does_not_count(world: World, name: str) -> None:
    """Times, places, secrets, what belongs to one run."""
    before = world.fingerprint()

    SAME[name](world)

    assert first_difference(before, world.fingerprint()) is None


def test_an_interpreter_tells_its_packages() -> None:
    """All of them, as dbt's adapters are packages, too."""
    found = installed_packages(Path(sys.executable))

    assert {"pytest", "apache-airflow"} <= set(found)
    assert installed_packages(Path("/nowhere/python")) == {}


def test_an_environment_within_the_project_hides_nothing(world: World) -> None:
    """Somebody ran `python -m venv .` there; dbt works in it all the same."""
    (world.project / "pyvenv.cfg").write_text("home = /usr/bin")

    assert "models/orders.sql" in world.fingerprint()["the project's files"]


def test_an_interpreter_that_does_not_answer_is_never_the_same(world: World) -> None:
    """Nothing is known of its packages."""
    world.packages.clear()

    assert "dbt's environment" in str(first_difference(world.fingerprint(), world.fingerprint()))


def test_nothing_of_the_options_can_be_read_from_it(world: World) -> None:
    """Without the salt, which is elsewhere, nobody can try values."""
    world.options["vars"] = {"password": "hush"}

    one, other = world.fingerprint(), world.fingerprint(b"pepper")

    assert "hush" not in str(one)
    assert one["the options"] != other["the options"]
    assert one["the project's files"] == other["the project's files"]


def test_no_more_can_be_read_of_a_file_of_variables(world: World) -> None:
    """A password may stand in it. It is the next one upwards, as dbt looks for it, under its own name."""
    (world.project / ".env").write_text("PASSWORD=hush")
    (world.project.parent / ".env").write_text("PASSWORD=farther")

    one, other = (
        world.fingerprint()["the project's files"],
        world.fingerprint(b"pepper")["the project's files"],
    )

    assert [name for name in one if name.endswith(".env")] == [".env"]
    assert one.pop(".env") != other.pop(".env")
    assert one == other
    (world.project / ".env").unlink()
    assert str(world.project.parent / ".env") in world.fingerprint()["the project's files"]


def test_where_not_all_can_be_known_there_is_no_fingerprint(world: World) -> None:
    """A reason for a person."""
    with world.dbt() as dbt:
        assert why_no_fingerprint(dbt) is None
    project = (world.project / "dbt_project.yml").read_text()
    for path in ("{{ var('team') }}", "{{ target.name }}", "{{ env_var('T') | lower }}"):
        (world.project / "dbt_project.yml").write_text(f'name: shop\nmodel-paths: [models, "../{path}"]\n')
        with world.dbt() as dbt:
            assert f"names ../{path}, which only dbt can read" in str(why_no_fingerprint(dbt))
    (world.project / "dbt_project.yml").write_text(project)
    (world.project / "packages.yml").write_text(
        "packages: [{package: a/a, version: 1.0.0}, {package: b/b, version: 1.0.0}, {package: c/c}]"
    )
    with world.dbt() as dbt:
        assert "package-lock.yml" in str(why_no_fingerprint(dbt))
    (world.project / "package-lock.yml").write_text("packages: [{package: a/a, version: 1.0.0}]")
    with world.dbt() as dbt:
        assert why_no_fingerprint(dbt) is None
    (world.project / "package-lock.yml").write_text("packages: [{tarball: https://example.com/a.tar.gz}]")
    with world.dbt() as dbt:
        assert "a.tar.gz" in str(why_no_fingerprint(dbt))
    (world.project / "packages.yml").unlink()
    del world.output["project"]
    with world.dbt() as dbt:
        assert "names no project" in str(why_no_fingerprint(dbt))
    world.output["project"] = "acme"
    world.options["dbt_cmd_flags"] = []
    with world.dbt() as dbt:
        dbt.invocation.project_config.partial_parse = False
        assert "partial_parse" in str(why_no_fingerprint(dbt))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "DBT_STATE=/elsewhere"),
        (".env", "A=1\nexport DBT_ENGINE_DEFER_STATE=/elsewhere"),
        ("../.dbt/user_settings.yml", "flags:\n  state: /elsewhere"),
        ("../.dbt/user_settings.yml", "flags: {defer_state: /elsewhere}"),
    ],
)
def test_earlier_artifacts_that_only_dbt_knows_of_are_such_a_reason(
    world: World, file: str, text: str
) -> None:
    """Where they lie is said in a file that dbt reads by itself."""
    written(file, "flags: {full_refresh: true}" if "settings" in file else "OTHER_STATE=1\nDBT_STATED=1")(
        world
    )
    with world.dbt() as dbt:
        assert why_no_fingerprint(dbt) is None

    written(file, text)(world)

    with world.dbt() as dbt:
        assert str((world.project / file).resolve()) in str(why_no_fingerprint(dbt))
