"""The last task of a run: delete its folder in the store."""

from __future__ import annotations

from typing import Any

from cosmos_async.airflow.compat import AirflowException
from cosmos_async.operators.deferred import TriggererOperator


class TeardownAsyncOperator(TriggererOperator):
    """
    Delete the plans and outcomes of the run, from the triggerer.

    Args:
        kwargs: See :class:`~cosmos_async.operators.deferred.TriggererOperator`.
    """

    ui_color = "#c7d0d9"
    trigger_classpath = "cosmos_async.triggers.teardown.TeardownTrigger"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prepare_start()

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> None:
        """
        End the task on a worker, after the trigger asked for one.

        Raises:
            AirflowException: The folder could not be deleted.
        """
        if event is None or event["status"] != "success":
            raise AirflowException(
                (event or {}).get("message", "the teardown's trigger ended without a word")
            )
