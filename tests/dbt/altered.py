"""
The recorder with other made-up answers than its own, as a main program inside dbt.

Every number, time and row that nobody knows before the run is another one, chosen by ``ALTERED_SEED``.
"""

from __future__ import annotations

import importlib
import os
import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENTRY = Path(__file__).parents[2] / "cosmos_async" / "dbt" / "scripts" / "__main__.py"


def main() -> None:
    """Load the recorder, replace its answers, and run it."""
    entry = runpy.run_path(str(ENTRY))
    record = entry["load"]("recorder.main").main
    answers, sql = (
        importlib.import_module(f"{entry['NAME']}.recording.{name}") for name in ("answers", "sql")
    )

    Altered(random.Random(os.environ["ALTERED_SEED"])).install(answers, sql)
    record(sys.argv[1:])


class Altered:
    """Replaces what the recorder makes up."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def install(self, answers: Any, sql: Any) -> None:
        """Put everything in place; what is foretold and guarded stays."""
        job, results, table = answers.job, answers.results, answers.table
        answers.job = lambda *args, **kwargs: self._job(job(*args, **kwargs))
        answers.table = lambda *args, **kwargs: self._numbers(table(*args, **kwargs))
        answers.results = lambda *args: self._results(results, sql, *args)
        for kind, (fields, _) in answers.TEST_RESULTS.items():
            if kind != "freshness":  # compared with what dbt makes of it
                answers.TEST_RESULTS[kind] = (fields, [[self._value(field) for field in fields]])

    def _job(self, resource: Any) -> Any:
        resource["statistics"] = self._numbers(resource["statistics"])
        resource["statistics"]["totalSlotMs"] = str(self._number())
        if resource["status"]["state"] == "DONE" and "query" in resource["configuration"]:
            resource["statistics"]["query"]["cacheHit"] = self.chance.random() < 0.5
        return resource

    def _numbers(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: one if name == "schema" else self._numbers(one) for name, one in value.items()}
        return str(self._number()) if isinstance(value, str) and value.isdigit() else value

    def _number(self) -> int:
        return self.chance.choice((0, 1, 7, 2**40))

    def _value(self, field: Any) -> str:
        if field["type"] == "STRING":
            return self.chance.choice(("actual", "expected"))
        return self.chance.choice(("true", "false")) if field["type"] == "BOOLEAN" else str(self._number())

    def _results(self, results: Callable[..., Any], sql: Any, resource: Any, *known: Any) -> Any:
        text = (resource["configuration"].get("query") or {}).get("query", "")
        if (known and known[0] is not None) or sql.gives_no_rows(text):
            return results(resource, *known)
        fields = [{"name": "made_up", "type": "INTEGER", "mode": "NULLABLE"}]
        return results(resource, fields, [[str(self._number())] for _ in range(self.chance.randrange(4))])


if __name__ == "__main__":
    main()
