"""
A dbt node, or the tests of one, as an Airflow task.

The trigger does the work. A worker is used only when the node needs real dbt, or when the task has something that
Airflow runs on workers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import FAILS_IN_TRIGGERER, AirflowException, AirflowSkipException
from cosmos_async.airflow.links import SQL_XCOM_KEY, BigQueryJobLink
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.deferred import TriggererOperator
from cosmos_async.operators.warning_callback import tell_warnings
from cosmos_async.triggers.google.blocking import one_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosmos_async.dbt.invocation import DbtInvocation
    from cosmos_async.operators.setup import SetupAsyncOperator

WORKS = ("node", "tests", "build", "unit_tests", "freshness", "others", "all_tests")
WITHOUT_NODE = ("others", "all_tests")

#: The template of what the trigger has left.
COMPILED_SQL = (
    f"{{{{ ti.xcom_pull(task_ids=ti.task_id, key='{SQL_XCOM_KEY}', map_indexes=ti.map_index) or '' }}}}"
)


class DbtNodeAsyncOperator(TriggererOperator):
    """
    Execute what setup planned for a node, from the triggerer.

    Args:
        unique_id: dbt's unique id of the node; for ``work="tests"`` the node whose tests are executed; None only for
            ``work="all_tests"`` and ``"others"``.
        setup: The setup task that plans this node; without it, see
            :class:`~cosmos_async.operators.deferred.TriggererOperator`.
        dbt: The invocation to use where the node needs real dbt; the setup task's own by default.
        work: ``node`` (its unit tests first), ``tests`` (the data tests it owns), ``build`` (both), ``unit_tests``
            (these alone), ``freshness`` (of a source), ``others`` (tests that belong to no task of their own or of a node), or ``all_tests``.
        on_warning_callback: Called on a worker where a test or a freshness check warned; see
            :func:`cosmos_async.operators.warning_callback.tell_warnings`.
        emit_datasets: Whether the results task announces what the node has built as an asset of Airflow's.
        kwargs: See :class:`~cosmos_async.operators.deferred.TriggererOperator`.
    """

    ui_color = "#ff7148"
    #: For the UI. Rendered by a worker, where the task has one at its end, and by Airflow 2's webserver; elsewhere see the XCom.
    template_fields: tuple[str, ...] = ("compiled_sql",)
    template_fields_renderers = {"compiled_sql": "sql"}
    operator_extra_links = (BigQueryJobLink(),)
    trigger_classpath = "cosmos_async.triggers.dbt.BigQueryDbtTrigger"
    default_work = "node"

    def __init__(
        self,
        *,
        unique_id: str | None = None,
        setup: SetupAsyncOperator | None = None,
        dbt: DbtInvocation | None = None,
        work: str | None = None,
        on_warning_callback: Callable[[dict[str, Any]], Any] | None = None,
        emit_datasets: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(setup=setup, **kwargs)
        self.on_warning_callback = on_warning_callback
        self.emit_datasets = emit_datasets
        self.work = work or self.default_work
        if self.work not in WORKS:
            raise ConfigError(
                f"work is {self.work!r} in task {self.task_id}; it must be one of {', '.join(WORKS)}."
            )
        if (unique_id is None) != (self.work in WITHOUT_NODE):
            raise ConfigError(
                f"task {self.task_id} needs unique_id, dbt's id of its node such as model.shop.orders "
                "(and only the works 'others' and 'all_tests' go without)."
            )
        self.unique_id = unique_id
        self.compiled_sql = COMPILED_SQL
        self.dbt = dbt or (setup.dbt if setup is not None else None)
        self.processes: Any = None  # dbt's, where a worker runs it
        if FAILS_IN_TRIGGERER and self.stays_in_triggerer:
            # No worker would render it, and each start of a trigger carries the whole serialized DAG.
            self.template_fields = ()
            self.template_fields_renderers = {}  # type: ignore[misc]  # Airflow reads it from the instance
        self.prepare_start()

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the trigger's arguments."""
        kwargs = {
            "work": self.work,
            "unique_id": self.unique_id,
            **super().trigger_kwargs(),
            "skips_in_triggerer": self.skips_in_triggerer,
        }
        # A node and its unit tests never warn. Said only where it is so, as the arguments of each task are serialized.
        if self.on_warning_callback is not None and self.work != "node":
            kwargs["warns_on_worker"] = True
        return kwargs

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> None:
        """
        Do on a worker what the trigger asked one for, and end the task or hand it to the triggerer again.

        Raises:
            AirflowException: The node failed; the message is the trigger's.
            AirflowSkipException: Another node has failed, and dbt runs with ``--fail-fast``.
        """
        if event is None:
            raise AirflowException(
                f"{self.task_id}: the trigger ended without a word. Clear the task to run it again."
            )
        if event["status"] == "failed":
            raise AirflowException(event["message"])
        if event["status"] == "skipped":
            raise AirflowSkipException(event["message"])
        if event["status"] in ("dbt", "late"):
            from cosmos_async.operators.worker import plan_anew, work

            with one_loop():
                # An event of an earlier release knows of no plan that is gone.
                resume = (plan_anew if event.get("gone") else work)(self, context, event)
            if resume is not None:
                self.hand_over(context, resume=resume)
        if self.on_warning_callback is not None:
            tell_warnings(self.on_warning_callback, context, event["results"], self.log)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """
        Tell OpenLineage's listener which tables the task has read and written; Airflow calls it where a worker ends the task.

        Args:
            task_instance: Airflow's.
        """
        from cosmos_async.airflow.openlineage import operator_lineage
        from cosmos_async.operators.task_lineage import tables_of_task

        return operator_lineage(tables_of_task(self, task_instance))

    def on_kill(self) -> None:
        """End the dbt process, where one runs on the worker."""
        if self.processes is not None:
            self.processes.terminate()


class DbtRunAsyncOperator(DbtNodeAsyncOperator):
    """A model; its unit tests come first, and decide whether it is built."""


class DbtSeedAsyncOperator(DbtNodeAsyncOperator):
    """A seed."""

    ui_color = "#f58d7e"


class DbtSnapshotAsyncOperator(DbtNodeAsyncOperator):
    """A snapshot."""

    ui_color = "#964b00"


class DbtTestAsyncOperator(DbtNodeAsyncOperator):
    """The data tests of a node or a source, or a test alone; without a ``unique_id``, every test of the run."""

    ui_color = "#8194e0"
    default_work = "tests"

    def __init__(self, *, unique_id: str | None = None, work: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            unique_id=unique_id,
            work=work or ("tests" if unique_id else "all_tests"),
            **kwargs,
        )


class DbtSourceAsyncOperator(DbtNodeAsyncOperator):
    """A source's freshness: the task fails where the source is older than its ``error_after``."""

    ui_color = "#34cceb"
    default_work = "freshness"


class DbtBuildAsyncOperator(DbtNodeAsyncOperator):
    """A node and its tests, in one task."""

    ui_color = "#8194e0"
    default_work = "build"
