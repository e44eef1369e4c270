"""
Where the suite's projects come from: public repositories, and the fixtures of dbt's adapter test suite.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.fidelity.adapter_suite import own_errors
from tests.fidelity.choice import Choice
from tests.fidelity.comparison import Comparison
from tests.fidelity.extract import NotDefined, joined, project
from tests.fidelity.public import Project, compare_public, prepare
from tests.fidelity.repositories import MIRRORS, NotFetched, Repository
from tests.fidelity.rows import NotCompared, line


class Suite:
    """A test class as dbt's suite has them."""

    @pytest.fixture(scope="class")
    def project_config_update(self, unique_schema: str) -> dict[str, Any]:
        return {"name": "shop", "vars": {"where": unique_schema}}

    @pytest.fixture(scope="class")
    def words(self) -> str:
        return "select 1 as id"

    @pytest.fixture(scope="class")
    def models(self, words: str) -> dict[str, Any]:
        return {"one.sql": words, "deep": {"two.sql": "select 2 as id"}}

    @pytest.fixture(scope="class")
    def properties(self) -> dict[str, Any]:
        return {"schema.yml": "version: 2"}


class ReadsItsDataset:
    """A class whose sources are in the dataset that a variable names."""

    @pytest.fixture(scope="class")
    def project_config_update(self, unique_schema: str) -> dict[str, Any]:
        return {"vars": {"where": unique_schema}}

    @pytest.fixture(scope="class")
    def functions(self) -> dict[str, Any]:
        return {"twice.sql": "x * 2", "twice.yml": "schema: \"{{ var('where') }}\" # not var('elsewhere')"}


class InItsRepository(Suite):
    """A class that reads files the package does not bring along."""

    @pytest.fixture(scope="class")
    def seeds(self, test_data_dir: str) -> dict[str, str]:
        return {"seed.csv": Path(test_data_dir, "seed.csv").read_text()}


class Nothing:
    """A class without a project."""


class Downloading(Suite):
    """A class that needs a package."""

    @pytest.fixture(scope="class")
    def packages(self) -> dict[str, Any]:
        return {"packages": [{"package": "dbt-labs/dbt_utils", "version": "1.0.0"}]}


def test_a_test_class_becomes_the_project_it_defines() -> None:
    """Fixtures are given to each other, inherited ones too; the dataset is each side's own."""
    config, files = project(type("Inheriting", (Suite,), {"__module__": __name__}))

    assert config["name"] == "shop"
    assert config["vars"] == {"where": "{{ env_var('FIDELITY_DATASET') }}"}
    assert files == {
        "models/one.sql": "select 1 as id",
        "models/deep/two.sql": "select 2 as id",
        "models/schema.yml": "version: 2",
    }


def test_functions_are_a_project_and_variables_with_the_dataset_are_rendered() -> None:
    """dbt renders nothing in the values of `vars`, so a source would be in a dataset with braces in its name."""
    _, files = project(ReadsItsDataset)

    assert files == {
        "functions/twice.sql": "x * 2",
        "functions/twice.yml": "schema: \"{{ env_var('FIDELITY_DATASET') }}\" # not var('elsewhere')",
    }


@pytest.mark.parametrize(
    ("owner", "why"),
    [(InItsRepository, "test_data_dir"), (Nothing, "nothing to build"), (Downloading, "downloaded")],
)
def test_a_class_that_defines_no_project_by_itself_says_why(owner: type, why: str) -> None:
    """The reason stands in the table."""
    with pytest.raises(NotDefined, match=why):
        project(owner)


def test_small_projects_are_put_together_unless_their_files_collide() -> None:
    """Nothing is lost and nothing replaced."""
    config = {"name": "test"}
    found = [
        ("utils.A", config, {"models/a.sql": "1", "macros/m.sql": "m"}),
        ("utils.B", config, {"models/b.sql": "2", "macros/m.sql": "m"}),
        ("utils.C", config, {"models/a.sql": "3"}),
        ("basic.D", config, {"models/d.sql": "4"}),
    ]

    made = list(joined(found))

    assert [name for name, _, _ in made] == ["utils.C", "basic.D", "utils, 2 classes together"]
    assert made[-1][2] == {"models/a.sql": "1", "models/b.sql": "2", "macros/m.sql": "m"}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Repositories on this machine, by name, with their newest commit."""
    contents = {
        "shop": {
            "sub/dbt_project.yml": "name: shop\nprofile: p\nmodels: {shop: {+tags: [x]}}",
            "sub/package-lock.yml": "",
        },
        "tools": {
            "dbt_project.yml": "name: the_tools",
            "integration_tests/dbt_project.yml": "name: tests",
            "macros/integration_tests/m.sql": "m",
        },
    }
    commits = {}
    for name, files in contents.items():
        root = tmp_path / "mirror" / f"someone+{name}"
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "all"]):
            subprocess.run(["git", "-C", root, *words], check=True)
        told = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], check=True, capture_output=True)
        commits[name] = told.stdout.decode().strip()
    monkeypatch.setenv(MIRRORS, str(tmp_path / "mirror" / "{owner}+{name}" / ".git"))
    return commits


def test_a_public_project_brings_its_packages_along(mirror: dict[str, str], tmp_path: Path) -> None:
    """dbt finds them installed, without their own tests, and has no index to ask; the project's config is completed."""
    case = Project(
        "shop",
        Repository("someone/shop", mirror["shop"]),
        "sub",
        packages=(Repository("someone/tools", mirror["tools"]),),
        config={"models": {"tools": {"+schema": "tools"}}},
    )

    root = prepare(case, tmp_path / "checkout")

    assert (root / "dbt_packages/the_tools/dbt_project.yml").exists()
    assert not (root / "dbt_packages/the_tools/integration_tests").exists()
    assert (root / "dbt_packages/the_tools/macros/integration_tests/m.sql").exists()
    assert yaml.safe_load((root / "packages.yml").read_text()) == {
        "packages": [{"local": "dbt_packages/the_tools"}]
    }
    assert not (root / "package-lock.yml").exists()
    models = yaml.safe_load((root / "dbt_project.yml").read_text())["models"]
    assert models == {"shop": {"+tags": ["x"]}, "tools": {"+schema": "tools"}}


def test_only_the_named_files_of_a_repository_are_taken(mirror: dict[str, str], tmp_path: Path) -> None:
    """A project's large seeds can be left where they are."""
    Repository("someone/tools", mirror["tools"], only=("dbt_project.yml",)).extract(tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["dbt_project.yml"]


def test_what_cannot_be_fetched_is_told_and_counts_as_nothing(
    mirror: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has a row for it, which is not a pass."""
    with pytest.raises(NotFetched, match="not"):
        Repository("someone/elsewhere", "0" * 40).extract(tmp_path / "out")

    (row,) = compare_public(None, tmp_path, Choice(("dbt-utils",)))  # type: ignore[arg-type]  # it gets no further

    assert isinstance(row, NotCompared)
    assert row.verdict == "not compared"
    assert "not fetched" in line(row)
    assert json.loads(json.dumps(row.to_json()))["reason"] == row.reason


def test_a_line_of_the_table_has_the_levels_and_the_verdict() -> None:
    """So that a person can count."""
    told = line(Comparison("shop", "first", [], ["(the run): only dbt wrote: x"]))

    assert told.split()[:3] == ["shop", "first", "different"]
    assert "only dbt wrote" in told
    assert line(NotCompared("shop", "", "why", levels=Counter("SSG"))).split()[1:3] == ["G:1", "S:2"]


def test_an_error_of_dbt_itself_is_compared_like_any_result() -> None:
    """What BigQuery refuses may be a gap of the stand-in; what dbt refuses is not."""
    results = {
        "model.shop.odd": {"status": "error", "message": "Compilation Error in model odd: no such strategy"},
        "model.shop.sql": {"status": "error", "message": "Database Error in model sql: no such type"},
        "model.shop.fine": {"status": "success", "message": None},
    }
    build = SimpleNamespace(results=results)

    assert own_errors(build) == ("odd",)  # type: ignore[arg-type]  # only the results matter
