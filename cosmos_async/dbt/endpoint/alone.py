"""
Real dbt 2 for one node of a run, on a worker: ``dbt build`` that selects it alone, without the run's hooks.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from cosmos_async.dbt.endpoint.program import STARTED_AT, Program, remove_run_hooks, selector_of
from cosmos_async.dbt.endpoint.record import buildable
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError

_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


def run_alone(
    dbt: Dbt, unique_id: str, *, invocation_id: str | None, started_at: str | None
) -> tuple[list[dict[str, Any]], str, str, str]:
    """
    Run a node, and return dbt's results, when dbt began and ended, and its last words.

    Args:
        dbt: Opened for the invocation.
        unique_id: The node.
        invocation_id: The run's; None makes the node an invocation of its own.
        started_at: The run's ``run_started_at``, ISO 8601.

    Raises:
        DbtError: dbt did not come to run the node, was stopped, or cannot be told to run it alone.
    """
    program = Program(dbt)
    node = buildable(program.listed().manifest).get(unique_id)
    if node is None:
        raise DbtError(
            f"{unique_id} is not in the project. Clear the setup task if the project has changed since."
        )
    found = program.listed(select=[selector_of(node)]).selected
    if found != {unique_id}:
        # Nothing has been run yet.
        raise DbtError(
            f"dbt 2 cannot be told to run {unique_id} alone: {selector_of(node)} selects {', '.join(sorted(found)) or 'nothing'}."
        )
    remove_run_hooks(dbt)
    artifact = dbt.workspace.target_path / "run_results.json"
    artifact.unlink(missing_ok=True)
    extra = [] if invocation_id is None else ["--invocation-id", invocation_id]
    begun = _now()
    env = {} if started_at is None else {STARTED_AT: started_at}
    finished = program.build([node], extra, env=env)
    if not artifact.is_file():
        raise dbt.failure(program.arguments([node], extra), finished)
    # dbt 2 tells nanoseconds.
    results = json.loads(_NANOSECONDS.sub(r"\1", artifact.read_text(encoding="utf-8")))["results"]
    return [{"failures": None, **result} for result in results], begun, _now(), finished.words


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
