"""
What Airflow's metadata database knows, read beside the running Airflow: the same tables in 2.11 and 3.3.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TaskState:
    """One task instance at its latest try."""

    task_id: str
    map_index: int  #: -1 for a task that is not mapped
    state: str | None
    try_number: int
    operator: str
    pid: int | None  #: of the worker process, None when there never was one
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float:
        """Seconds from its start to its end as Airflow has them; 0 while it runs."""
        if self.started is None or self.ended is None:
            return 0.0
        return max(0.0, (self.ended - self.started).total_seconds())

    @property
    def worker_seconds(self) -> float:
        """
        Seconds of a worker: 0 for a task that began and ended in the triggerer, otherwise its whole duration.

        An upper bound for a task that deferred in between.
        """
        return 0.0 if self.pid is None else self.seconds


@dataclass(frozen=True)
class AssetEvent:
    """A change of an asset."""

    uri: str
    task_id: str  #: of the task that has sent it
    extra: dict[str, Any]


class Metadata:
    """
    A reader of the metadata database.

    Args:
        database: The SQLite file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    def dag_ids(self) -> set[str]:
        """Return the DAGs that have been parsed and stored."""
        return {row["dag_id"] for row in self._rows("select dag_id from serialized_dag")}

    def parsed_at(self, dag_id: str) -> datetime | None:
        """Return when a DAG was parsed last, None if it never was."""
        rows = self._rows("select last_parsed_time from dag where dag_id = ?", dag_id)
        return _moment(rows[0]["last_parsed_time"]) if rows else None

    def import_errors(self) -> dict[str, str]:
        """Return the DAG files that cannot be imported, each with its stack trace."""
        return {
            row["filename"]: row["stacktrace"]
            for row in self._rows("select filename, stacktrace from import_error")
        }

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """Return a run's state, None if there is no such run."""
        rows = self._rows("select state from dag_run where dag_id = ? and run_id = ?", dag_id, run_id)
        return rows[0]["state"] if rows else None

    def run_ids(self, dag_id: str) -> list[str]:
        """Return the runs of a DAG, oldest first."""
        return [
            row["run_id"]
            for row in self._rows("select run_id from dag_run where dag_id = ? order by id", dag_id)
        ]

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return a run's task instances in the order in which they started."""
        rows = self._rows(
            "select task_id, map_index, state, try_number, custom_operator_name, operator, pid, start_date, end_date "
            "from task_instance where dag_id = ? and run_id = ? order by start_date is null, start_date, task_id",
            dag_id,
            run_id,
        )
        return [
            TaskState(
                task_id=row["task_id"],
                map_index=row["map_index"],
                state=row["state"],
                try_number=row["try_number"],
                operator=row["custom_operator_name"] or row["operator"] or "",
                pid=row["pid"],
                started=_moment(row["start_date"]),
                ended=_moment(row["end_date"]),
            )
            for row in rows
        ]

    def occupied(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the tasks of a run that are running or deferred now, with their states."""
        rows = self._rows(
            "select task_id, state from task_instance where dag_id = ? and run_id = ? and state in ('running', 'deferred')",
            dag_id,
            run_id,
        )
        return {row["task_id"]: row["state"] for row in rows}

    def asset_events(self, dag_id: str, run_id: str) -> list[AssetEvent]:
        """Return the events of assets (of datasets, on Airflow 2) that a run has sent, in their order."""
        tables = {row["name"] for row in self._rows("select name from sqlite_master where type = 'table'")}
        kind = "asset" if "asset_event" in tables else "dataset"
        rows = self._rows(
            f"select uri, source_task_id, e.extra as told from {kind}_event e join {kind} a on a.id = e.{kind}_id "
            "where source_dag_id = ? and source_run_id = ? order by e.id",
            dag_id,
            run_id,
        )
        return [
            AssetEvent(row["uri"], row["source_task_id"], json.loads(row["told"] or "{}")) for row in rows
        ]

    def beating(self, newer_than: datetime) -> set[str]:
        """Return the kinds of components (``SchedulerJob``, ...) with a heartbeat after *newer_than*."""
        rows = self._rows("select job_type, latest_heartbeat from job where state = 'running'")
        return {
            row["job_type"] for row in rows if (_moment(row["latest_heartbeat"]) or newer_than) > newer_than
        }

    def count(self, query: str, *values: Any) -> int:
        """Return the one number that a query selects."""
        return int(self._rows(query, *values)[0][0])

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()


def _moment(text: str | None) -> datetime | None:
    """Return SQLite's text as a point in time; Airflow stores UTC without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc) if text else None
