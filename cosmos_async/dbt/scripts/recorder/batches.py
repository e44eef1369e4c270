"""What is replaced in dbt's runners of microbatch models: each batch is planned for itself."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .session import Recording


class BatchPatches:
    """
    Keeps the batches of a model apart, and what real dbt would decide between them.

    dbt runs the batches of a model under the model's own name, several at once in threads of its pool.
    """

    def __init__(self, recording: Recording) -> None:
        self.journal = recording.journal
        self._lock = recording.lock

    def install(self) -> None:
        """Put everything in place."""
        from dbt.materializations.incremental.microbatch import MicrobatchBuilder
        from dbt.task import run

        need(MicrobatchBuilder, "format_batch_start")
        need(run, "MicrobatchBatchRunner", "MicrobatchModelRunner", "GenericExceptionOnRun")
        need(run.MicrobatchModelRunner, "get_batches")
        need(run.MicrobatchBatchRunner, "should_run_in_parallel", "describe_batch")
        get_batches, told = run.MicrobatchModelRunner.get_batches, run.GenericExceptionOnRun

        @functools.wraps(get_batches)
        def finding(runner: Any, model: Any) -> Any:
            batches = get_batches(runner, model)
            size = model.config.batch_size
            self.journal.batches[model.unique_id] = [
                {
                    "name": str(MicrobatchBuilder.format_batch_start(start, size)),
                    "start": start.isoformat(),
                    "end": end.isoformat(),
                    "main_job": None,
                    "parallel": False,
                }
                for _, (start, end) in sorted(batches.items())
            ]
            return batches

        def telling(**values: Any) -> Any:
            """dbt tells of a batch that ended early in this way only."""
            from dbt_common.events.types import Note

            unique_id = values.get("unique_id", "")
            if unique_id in self.journal.flags:
                return Note(msg=f"{unique_id}: {self.journal.flags[unique_id]}")
            said = str(values.get("exc", "")).replace("Exception on worker thread. ", "").strip()
            self.journal.flag(unique_id, f"dbt could not plan one of its batches: {said}")
            return told(**values)

        run.MicrobatchModelRunner.get_batches = finding
        run.GenericExceptionOnRun = telling

    def index(self, runner: Any) -> int | None:
        """Return which batch of its model a runner runs; None where it runs no batch."""
        from dbt.task.run import MicrobatchBatchRunner

        return int(runner.batch_idx) if isinstance(runner, MicrobatchBatchRunner) else None

    def has(self, runner: Any) -> bool:
        """Return whether a runner's node has batches."""
        from dbt.task.run import MicrobatchModelRunner

        return isinstance(runner, MicrobatchModelRunner)

    def begins(self, runner: Any) -> None:
        """Note how a batch would be run."""
        batch = self.journal.batches[runner.node.unique_id][runner.batch_idx]
        # dbt itself runs the first and the last one alone.
        alone = runner.batch_idx in (0, len(runner.batches) - 1)
        batch["parallel"] = not alone and bool(runner.should_run_in_parallel())

    def ended(self, runner: Any, result: Any) -> None:
        """Note what became of a batch."""
        unique_id = runner.node.unique_id
        batch = self.journal.batches[unique_id][runner.batch_idx]
        batch["main_job"] = (getattr(result, "adapter_response", None) or {}).get("job_id")
        batch["compiled_code"] = getattr(runner.node, "compiled_code", None)
        if str(getattr(result.status, "value", result.status)) != "success":
            said = (result.message or "").strip()
            self.journal.flag(unique_id, f"dbt could not plan the {_named(runner)}: {said}")

    def left(self, runner: Any) -> Any:
        """Return the result of a batch whose model is left to real dbt."""
        from dbt.artifacts.schemas.batch_results import BatchResults
        from dbt.artifacts.schemas.results import RunStatus
        from dbt.artifacts.schemas.run import RunResult

        from .session import NEEDS_DBT

        result = RunResult.from_node(runner.node, RunStatus.Success, NEEDS_DBT)
        result.batch_results = BatchResults(successful=[runner.batches[runner.batch_idx]])
        return result


def _named(runner: Any) -> str:
    return str(runner.describe_batch()).split(" of ")[0]
