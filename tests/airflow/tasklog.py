"""
A task's log as Airflow keeps it in files, made readable: lines of JSON in 3.3, plain lines in 2.11.
"""

from __future__ import annotations

import json
from pathlib import Path


def read_task_log(logs: Path, dag_id: str, run_id: str, task_id: str, try_number: int | None = None) -> str:
    """
    Return a task's log, the worker's part and the triggerer's part in order of their beginning.

    Args:
        logs: Airflow's folder of logs.
        try_number: One try only, otherwise all of them.
    """
    folder = logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    wanted = "*" if try_number is None else str(try_number)
    files = {*folder.rglob(f"attempt={wanted}.log"), *folder.rglob(f"attempt={wanted}.log.trigger.*.log")}
    lines = [
        line for file in sorted(files, key=_order) for line in file.read_text(errors="replace").splitlines()
    ]
    return "\n".join(_readable(line) for line in lines)


def worker_log_files(logs: Path, dag_id: str, run_id: str, task_id: str) -> list[Path]:
    """Return the log files that workers wrote for a task; none for one that lived in the triggerer only."""
    folder = logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    return sorted(file for file in folder.rglob("attempt=*.log") if ".trigger." not in file.name)


def _order(file: Path) -> tuple[str, float]:
    """Sort by try, then by age."""
    return file.name.split(".")[0], file.stat().st_ctime


def _readable(line: str) -> str:
    """Return one line of a log as a person reads it."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    text = f"[{record.get('timestamp', '')}] {str(record.get('level', '')).upper()} {record['event']}"
    if record.get("error_detail"):
        text += "\n" + "\n".join(
            f"{part.get('exc_type')}: {part.get('exc_value')}" for part in record["error_detail"]
        )
    return text
