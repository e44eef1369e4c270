"""The last task of a run: delete its folder in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.compat import AirflowException
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.deferred import TriggererOperator

if TYPE_CHECKING:
    from cosmos_async.operators.setup import SetupAsyncOperator


class TeardownAsyncOperator(TriggererOperator):
    """
    Delete the plans and outcomes of the run, from the triggerer.

    Args:
        setup: The setup task whose folder is deleted. Give either this or the two below.
        setup_task_id: Its full id, task group included.
        identity: Who may write to the store, unless the plan's address names another connection.
        kwargs: See :class:`TriggererOperator`.
    """

    ui_color = "#c7d0d9"
    trigger_classpath = "cosmos_async.triggers.teardown.TeardownTrigger"

    def __init__(
        self,
        *,
        setup: SetupAsyncOperator | None = None,
        setup_task_id: str | None = None,
        identity: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if setup is not None:
            setup_task_id, identity = setup.task_id, setup.identity
        if setup_task_id is None or identity is None:
            raise ConfigError(
                f"task {self.task_id} does not know what to delete: give it setup=<the SetupAsyncOperator>."
            )
        self.setup_task_id = setup_task_id
        self.identity = identity
        self.prepare_start()

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the trigger's arguments."""
        return {
            "setup_task_id": self.setup_task_id,
            "identity": self.identity,
            "succeeds_in_triggerer": self.succeeds_in_triggerer,
            "fails_in_triggerer": self.fails_in_triggerer,
        }

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
