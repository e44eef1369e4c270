"""
A DAG for the harness itself: one task on a worker, then one that begins and ends in the triggerer where it can.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import airflow
from airflow.exceptions import TaskDeferred

try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:
    from airflow.models import BaseOperator
    from airflow.models.dag import DAG
from airflow.triggers.base import StartTriggerArgs

TRIGGER = "tests.airflow.plain_trigger.Nap"


class OnWorker(BaseOperator):
    """Runs on a worker."""

    def execute(self, context: Any) -> str:
        """Say so."""
        self.log.info("on a worker of Airflow %s", airflow.__version__)
        return "done"


class InTriggerer(BaseOperator):
    """Begins and ends in the triggerer."""

    def __init__(self, seconds: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=TRIGGER, trigger_kwargs={"seconds": seconds}, next_method="execute", timeout=None
        )

    def execute(self, context: Any) -> None:
        """Defer, where the scheduler did not."""
        from tests.airflow.plain_trigger import Nap

        raise TaskDeferred(trigger=Nap(seconds=self.seconds), method_name="execute_complete")


with DAG("plain", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    naps = [InTriggerer(task_id=f"nap_{number}") for number in range(5)]
    OnWorker(task_id="on_worker") >> naps >> OnWorker(task_id="at_the_end")

with DAG("long_nap", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    InTriggerer(task_id="nap", seconds=600)
