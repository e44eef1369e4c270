"""
The project of whole runs: models in layers, each of which reads two of the layer above.

Every model is as wide a way from the first layer to the last as any other, so the critical path hardly grows with the width.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.standin import TEST, part

TESTS = ("not_null", "unique")
PROFILE = "whole"
#: What of a model's text asks for rows.
_ROWS = (
    "-- depends_on: {{ ref('m0_0') }}\n"
    "{% set names = run_query('select id from ' ~ ref('m0_0')).columns[0].values() if execute else [] %}\n"
    "-- {{ names | length }} names\n"
)


@dataclass(frozen=True)
class Case:
    """One project, and how long its jobs take."""

    layers: int
    width: int  #: models per layer
    tests: int  #: per model, 0 to 2
    job_ms: int  #: what a model's job takes on average
    late: bool = False  #: all below the first layer read rows of its first model as dbt compiles them

    @property
    def models(self) -> int:
        """How many there are."""
        return self.layers * self.width

    @property
    def jobs(self) -> int:
        """How many jobs a run has at least: one for each model, one for each test."""
        return self.models * (1 + self.tests)

    def critical_path(self) -> float:
        """Return the seconds of the jobs that wait for one another, on the longest way through the project."""
        ends: dict[tuple[int, int], float] = {}
        for layer in range(self.layers):
            for number in range(self.width):
                above = [ends.get(key, 0.0) for key in self._above(layer, number)]
                ends[layer, number] = max(above) + part(f"m{layer}_{number}") + (TEST if self.tests else 0.0)
        return max(ends.values()) * self.job_ms / 1000

    def write(self, folder: Path) -> Path:
        """Write the dbt project below a folder and return where it is."""
        project = folder / "project"
        (project / "models").mkdir(parents=True)
        (project / "dbt_project.yml").write_text(
            f"name: whole\nversion: '1.0'\nprofile: {PROFILE}\nmodels: {{+materialized: table}}\n"
        )
        properties: dict[str, Any] = {"version": 2, "models": []}
        for layer in range(self.layers):
            for number in range(self.width):
                a, b, *_ = (f"{{{{ ref('m{up}_{one}') }}}}" for up, one in self._above(layer, number))
                text = (
                    f"select a.id + 1 as id from {a} a join {b} b using (id)" if layer else "select 1 as id"
                )
                if layer and self.late:
                    text = f"{_ROWS}{text}"
                (project / "models" / f"m{layer}_{number}.sql").write_text(text)
                column = {"name": "id", "data_tests": list(TESTS[: self.tests])}
                properties["models"].append({"name": f"m{layer}_{number}", "columns": [column]})
        (project / "models" / "schema.yml").write_text(json.dumps(properties))
        return project

    def _above(self, layer: int, number: int) -> list[tuple[int, int]]:
        first = [(0, 0)] if self.late and layer else []
        return [*((layer - 1, (number + step) % self.width) for step in (0, 1)), *first]
