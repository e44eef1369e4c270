"""Operator extra link: from a task to its BigQuery job in Google's console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION, BaseOperatorLink

if TYPE_CHECKING:
    from airflow.models.taskinstancekey import TaskInstanceKey

#: Airflow 3 looks for a link's address under this XCom key; the trigger leaves it there.
LINK_XCOM_KEY = "_link_BigQueryJobLink"

#: Where the trigger leaves the compiled SQL of a task.
SQL_XCOM_KEY = "compiled_sql"


class BigQueryJobLink(BaseOperatorLink):
    """
    Open the task's BigQuery job: the one that failed, else the main one of the node.

    Of several tests, that of the first which failed or warned, else of the one that took longest.
    """

    name = "BigQuery job"

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the link's address."""
        return LINK_XCOM_KEY

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string while no job is known."""
        if AIRFLOW_VERSION >= (3, 0):
            from airflow.sdk.execution_time.xcom import XCom

            found = XCom.get_value(ti_key=ti_key, key=LINK_XCOM_KEY)
        else:  # removable when Airflow 2.11 is dropped
            from airflow.models.xcom import XCom as ModelXCom

            found = ModelXCom.get_value(ti_key=ti_key, key=LINK_XCOM_KEY)
        return found or ""
