"""Small projects, built twice on the semantic bench: by real dbt and by us."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.carried import Carried, carry_out
from tests.dbt_versions import VERSIONS
from tests.warehouse.child import ROOT
from tests.warehouse.dbt import DbtRun, dbt
from tests.warehouse.fixture import Warehouse, warehouse  # noqa: F401  a fixture

PROFILE = (ROOT / "tests" / "projects" / "pantry" / "profiles.yml").read_text()


@dataclass(frozen=True)
class Pair:
    """One project and its two builds."""

    project: Path
    warehouse: Warehouse
    version: str
    name: str
    folder: Path

    def ours(self, step: str, **options: Any) -> Carried:
        """Build it through the executor."""
        return carry_out(
            self.warehouse,
            self.project,
            dataset=f"{self.name}_ours",
            version=self.version,
            folder=self.folder / f"ours-{step}",
            **options,
        )

    def theirs(self, step: str, *arguments: str) -> DbtRun:
        """Build it with real dbt."""
        return dbt(
            self.warehouse,
            "build",
            *arguments,
            version=self.version,
            dataset=f"{self.name}_theirs",
            artifacts=self.folder / f"theirs-{step}",
            project=self.project,
        )

    def dumps(self, *, without: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what is in both datasets, but for the values of some columns."""
        mine, dbts = (
            self.warehouse.dump_all(f"{self.name}_{whose}", without=without) for whose in ("ours", "theirs")
        )
        return mine, dbts


@pytest.fixture(
    params=[
        pytest.param(version, marks=[pytest.mark.slow] if version == "1.9" else []) for version in VERSIONS
    ]
)
def version(request: Any) -> str:
    """Each generation of dbt."""
    return str(request.param)


@pytest.fixture
def pair(
    request: pytest.FixtureRequest,
    warehouse: Warehouse,  # noqa: F811  the fixture above
    version: str,
    tmp_path: Path,
) -> Callable[[Mapping[str, str]], Pair]:
    """Make a project of some files; dbt_project.yml and the profile need not be among them."""

    def make(files: Mapping[str, str]) -> Pair:
        name = request.node.originalname.removeprefix("test_")[:30].strip("_")
        root = tmp_path / "kinds"
        project = {
            "dbt_project.yml": 'name: kinds\nversion: "1.0"\nprofile: kinds\nflags: {send_anonymous_usage_stats: false}\n',
            "profiles.yml": PROFILE.replace("pantry:", "kinds:", 1),
            **files,
        }
        for path, text in project.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(text))
        return Pair(root, warehouse, version, f"{name}_{version.replace('.', '')}", tmp_path)

    make.version = version  # type: ignore[attr-defined]
    return make


def told(run: DbtRun | Carried) -> dict[str, tuple[str, str | None, Any, Any]]:
    """Return status, message, failures and batches of each node, without what two builds cannot have in common."""
    return {
        unique_id: (each["status"], each["message"], each["failures"], each.get("batch_results"))
        for unique_id, each in run.results.items()
    }
