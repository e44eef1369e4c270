"""The last task of a run: delete its folder in the store."""

from __future__ import annotations

from typing import Any

from cosmos_async.airflow.compat import AirflowException
from cosmos_async.operators.assets import announce
from cosmos_async.operators.deferred import TriggererOperator
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, all_made, dump_announcements
from cosmos_async.triggers.google.blocking import one_loop


class TeardownAsyncOperator(TriggererOperator):
    """
    Delete the plans and outcomes of the run, from the triggerer.

    Args:
        results_task_id: The full id of the run's results task, whose end the trigger waits for.
        kwargs: See :class:`~cosmos_async.operators.deferred.TriggererOperator`.
    """

    ui_color = "#c7d0d9"
    trigger_classpath = "cosmos_async.triggers.teardown.TeardownTrigger"

    def __init__(self, *, results_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.results_task_id = results_task_id
        self.prepare_start()

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the trigger's arguments."""
        return {**super().trigger_kwargs(), "results_task_id": self.results_task_id}

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> None:
        """
        End the task on a worker, after the trigger asked for one, and announce what a failed results task could not.

        Raises:
            AirflowException: The folder could not be deleted.
        """
        if event is not None and event["status"] == "announce":
            with one_loop():
                plan = RunPlan(self, context)
                assets = plan.announcements()
                announce(self, context, assets)
                plan.keep(ANNOUNCEMENTS_FILE, dump_announcements(all_made(assets)))
            return
        if event is None or event["status"] != "success":
            raise AirflowException(
                (event or {}).get("message", "the teardown's trigger ended without a word")
            )
