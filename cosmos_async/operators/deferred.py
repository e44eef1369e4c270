"""
Deferrable operator: a task that begins and, where nothing needs a worker, ends in the triggerer.

Two entries, one trigger: Airflow starts the trigger by itself where it can (``start_from_trigger``); everywhere else
``execute`` defers at once. A subclass with an ``execute`` of its own is always entered there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.airflow import openlineage
from cosmos_async.airflow.compat import (
    ENDS_IN_TRIGGERER,
    STARTS_IN_TRIGGERER,
    BaseOperator,
    start_trigger_args,
)
from cosmos_async.airflow.listeners import task_listeners
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.task_mapping import is_mapped_with

if TYPE_CHECKING:
    from cosmos_async.operators.setup import SetupAsyncOperator

COMPLETIONS = ("auto", "triggerer", "worker")
#: What triggers take for said where it is not: Airflow sends the whole serialized DAG for each trigger it starts itself.
TRIGGER_DEFAULTS = {
    "work": "node",
    "succeeds_in_triggerer": True,
    "fails_in_triggerer": True,
    "skips_in_triggerer": True,
    "mapped_with_setup": False,
}


class TriggererOperator(BaseOperator):
    """
    Base of the tasks whose work is a trigger's.

    Args:
        setup: The setup task of the run. Give either this or the two below.
        setup_task_id: Its full id, task group included.
        identity: Who acts: ``{"conn_id": ...}`` or the place of a target in a ``profiles.yml``.
        completion: Where the task ends. ``auto``: in the triggerer, unless something of the task can only run on a
            worker (success callbacks, listeners, outlets, overridden hooks). ``triggerer`` and ``worker`` overrule.
            With ``triggerer`` it also begins there whoever listens; what of the task itself runs before the work, such as
            an overridden ``execute``, still does so on a worker.
        kwargs: Airflow's own arguments of a task.
    """

    template_fields: tuple[str, ...] = ()
    template_ext: tuple[str, ...] = ()
    trigger_classpath: str

    def __init__(
        self,
        *,
        setup: SetupAsyncOperator | None = None,
        setup_task_id: str | None = None,
        identity: dict[str, Any] | None = None,
        completion: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if setup is not None:
            setup_task_id, identity = setup.task_id, setup.identity
        if setup_task_id is None or identity is None:
            raise ConfigError(
                f"task {self.task_id} does not know its run: give it setup=<the SetupAsyncOperator>."
            )
        if completion not in COMPLETIONS:
            raise ConfigError(
                f"completion is {completion!r} in task {self.task_id}; it must be one of {', '.join(COMPLETIONS)}."
            )
        self.setup_task_id = setup_task_id
        self.identity = identity
        self.completion = completion

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the trigger's arguments: small, JSON-able, free of secrets, fixed when the DAG is parsed."""
        return {
            "setup_task_id": self.setup_task_id,
            "identity": self.identity,
            "succeeds_in_triggerer": self.succeeds_in_triggerer,
            "fails_in_triggerer": self.fails_in_triggerer,
            "mapped_with_setup": is_mapped_with(self, self.setup_task_id),
        }

    def prepare_start(self) -> None:
        """Let Airflow start the trigger without a worker, where it can; for the end of a subclass' ``__init__``."""
        if STARTS_IN_TRIGGERER and not self._own_entry():
            # Per instance: a mapped operator looks at the class, sees nothing and goes through execute().
            kwargs = {
                name: value
                for name, value in self.trigger_kwargs().items()
                if name not in TRIGGER_DEFAULTS or TRIGGER_DEFAULTS[name] != value
            }
            self.start_trigger_args = start_trigger_args(self.trigger_classpath, kwargs, "execute_complete")
            self.start_from_trigger = True

    def _own_entry(self) -> list[str]:
        """Return what of this task must run on a worker before the work begins."""
        reasons = []
        if _overridden(self, "execute"):
            reasons.append("execute() is overridden")
        if _overridden(self, "pre_execute") or getattr(self, "_pre_execute_hook", None):
            reasons.append("pre_execute")
        if getattr(self, "on_execute_callback", None):
            reasons.append("on_execute_callback")
        return reasons + self._listeners()

    def _own_success(self) -> list[str]:
        """Return what of this task must run on a worker after the work succeeded."""
        reasons = []
        if _overridden(self, "execute_complete"):
            reasons.append("execute_complete() is overridden")
        if _overridden(self, "post_execute") or getattr(self, "_post_execute_hook", None):
            reasons.append("post_execute")
        if getattr(self, "on_success_callback", None):
            reasons.append("on_success_callback")
        if self.outlets:
            reasons.append("outlets")
        return reasons + self._listeners()

    def _own_failure(self) -> list[str]:
        """Return what of this task must run on a worker after the work failed, to get all of its context."""
        reasons = self._listeners()
        if getattr(self, "email", None) and (self.email_on_failure or self.email_on_retry):
            reasons.append("email")
        reasons += [
            name for name in ("on_failure_callback", "on_retry_callback") if getattr(self, name, None)
        ]
        return reasons

    def _own_skip(self) -> list[str]:
        """Return what of this task must run on a worker where another task's failure has stopped it."""
        reasons = self._listeners()
        if _overridden(self, "execute_complete"):
            reasons.append("execute_complete() is overridden")
        if getattr(self, "on_skipped_callback", None):
            reasons.append("on_skipped_callback")
        return reasons

    def _listeners(self) -> list[str]:
        """Return who wants this task to run on a worker, as its plugin listens to all tasks."""
        return [] if self.completion == "triggerer" else [f"listener {name}" for name in task_listeners()]

    @property
    def succeeds_in_triggerer(self) -> bool:
        """Whether the trigger itself ends the task when the work succeeded."""
        return self._decide(self._own_success())

    @property
    def fails_in_triggerer(self) -> bool:
        """Whether the trigger itself ends the task when the work failed."""
        return self._decide(self._own_failure())

    @property
    def skips_in_triggerer(self) -> bool:
        """Whether the trigger itself ends the task when another task's failure has stopped it (``--fail-fast``)."""
        return self._decide(self._own_skip())

    @property
    def stays_in_triggerer(self) -> bool:
        """Whether no worker is needed for it, whether it goes well or fails."""
        return (
            STARTS_IN_TRIGGERER
            and not self._own_entry()
            and self.succeeds_in_triggerer
            and self.fails_in_triggerer
        )

    def _decide(self, reasons: list[str]) -> bool:
        if not ENDS_IN_TRIGGERER or self.completion == "worker":
            return False
        return self.completion == "triggerer" or not reasons

    def _trigger(self, **more: Any) -> Any:
        from importlib import import_module

        module, _, name = self.trigger_classpath.rpartition(".")
        return getattr(import_module(module), name)(**self.trigger_kwargs(), **more)

    def hand_over(self, context: Any, **more: Any) -> None:
        """
        Hand the task to its trigger; the worker is free again at once.

        Args:
            context: Of the task instance.
            more: Arguments of the trigger.
        """
        ti = context["ti"]
        started = getattr(ti, "start_date", None)
        # What Airflow 3 tells no trigger that a worker has started.
        instance = {
            "operator": self.task_type,
            "started": None if started is None else started.isoformat(),
            "max_tries": getattr(ti, "max_tries", None),
        }
        trigger = self._trigger(deferred_by_worker=True, instance=instance, **more)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute(self, context: Any) -> Any:
        """Hand the task to the triggerer."""
        if STARTS_IN_TRIGGERER:
            for reason in self._own_entry():
                self.log.info("This task begins on a worker for the sake of: %s", reason)
        self.hand_over(context)


def warn_of_listeners(setup: Any) -> None:
    """
    Say in the log of *setup* who makes the tasks of its run begin and end on workers, if anybody does.

    Args:
        setup: The setup task, in its DAG.
    """
    listeners = task_listeners() if ENDS_IN_TRIGGERER else []
    heard = [
        task
        for task in setup.dag.tasks
        if isinstance(task, TriggererOperator)
        and task.setup_task_id == setup.task_id
        and task.completion == "auto"
    ]
    if listeners and heard:
        if openlineage.LISTENER in listeners:
            setup.log.warning(
                "OpenLineage's provider is %s. From %s on its events are sent from the triggerer, and its listener needs no worker.",
                openlineage.installed_version(),
                ".".join(map(str, openlineage.OLDEST)),
            )
        setup.log.warning(
            "Airflow calls plugins that listen to task instances on workers only, so for %s %d of this run's tasks begin and "
            "end on one, for some seconds each. Where the plugin has no need of them, "
            'operator_args={"completion": "triggerer"} does without the workers.',
            " and ".join(listeners),
            len(heard),
        )


def _overridden(operator: BaseOperator, name: str) -> bool:
    """Return whether somebody outside this package gave *operator* a method of this name."""
    for cls in type(operator).__mro__:
        if name in vars(cls):
            return not cls.__module__.startswith(("airflow.", "cosmos_async."))
    return False
