"""
Health checks before a run: is there a triggerer, and would it see the plan? Else every node would wait for ever, or fail.

Asked once by the setup task, before it plans anything.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Callable
from urllib.error import URLError
from urllib.request import urlopen

from cosmos_async.airflow.compat import AIRFLOW_VERSION
from cosmos_async.exceptions import ConfigError

log = logging.getLogger(__name__)

PATIENCE = 45.0  # seconds; a triggerer that restarts is back by then
LOOK_EVERY = 5.0  # seconds
REQUEST_TIMEOUT = 5.0  # seconds
#: Their tasks run where the scheduler does.
_ON_ONE_MACHINE = frozenset({"LocalExecutor", "SequentialExecutor", "DebugExecutor", "MockExecutor"})


def require_triggerer(
    *, look: Callable[[], bool | None] | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """
    Wait until a triggerer is alive.

    An Airflow that does not tell (its API server cannot be reached from here) is taken for healthy.

    Args:
        look: Says whether one is alive, or None for "cannot know"; Airflow is asked by default.
        sleep: Waits that many seconds.

    Raises:
        ConfigError: Airflow says that there is none.
    """
    look = look or (_look_in_api if AIRFLOW_VERSION >= (3, 0) else _look_in_database)
    waited = 0.0
    while look() is False:
        if waited >= PATIENCE:
            raise ConfigError(
                "Airflow has no running triggerer, and every dbt node waits in one. "
                "Start it with `airflow triggerer`, then clear this task."
            )
        if not waited:
            log.warning("No triggerer is alive; waiting up to %.0f s for one.", PATIENCE)
        sleep(LOOK_EVERY)
        waited += LOOK_EVERY


def executor_of_many_machines() -> str | None:
    """
    Return the executor whose tasks may run on other machines than the triggerer, None if there is none.

    Airflow may have several, with aliases and teams (``core.executor``).
    """
    from airflow.configuration import conf

    names = re.findall(r"\w+Executor\b", conf.get("core", "executor", fallback="") or "")
    return next((name for name in names if name not in _ON_ONE_MACHINE), None)


def _look_in_api() -> bool | None:
    # Airflow 3's workers have no database; the health page needs no login.
    # https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/check-health.html
    from airflow.configuration import conf

    server = conf.get("core", "execution_api_server_url", fallback="") or conf.get(
        "api", "base_url", fallback=""
    )
    root = server.rstrip("/")
    if root.endswith("/execution"):
        root = root[: -len("/execution")]
    if not root.startswith(("http://", "https://")):
        return None
    try:
        with urlopen(f"{root}/api/v2/monitor/health", timeout=REQUEST_TIMEOUT) as answer:
            status = json.load(answer).get("triggerer", {}).get("status")
    except (URLError, OSError, ValueError) as error:
        log.info("Whether a triggerer is alive is not known: %s does not tell (%s).", root, error)
        return None
    return bool(status == "healthy")


def _look_in_database() -> bool | None:
    # Removable when Airflow 2.11 is dropped.
    from airflow.jobs.job import most_recent_job
    from airflow.jobs.triggerer_job_runner import TriggererJobRunner

    job = most_recent_job(TriggererJobRunner.job_type)
    return bool(job and job.is_alive())
