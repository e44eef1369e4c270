"""
What each version of Airflow lets a trigger do with its task: pure facts from its code, which ``make matrix`` tries on real ones.
"""

from __future__ import annotations

from typing import NamedTuple


class Abilities(NamedTuple):
    """What one version of Airflow can do; the table in docs/versions.md says the same."""

    starts: bool  #: the scheduler starts a task's trigger without a worker (``start_from_trigger``)
    ends: bool  #: a trigger may end its task (``TaskSuccessEvent`` and its siblings)
    fails: bool  #: ``TaskFailedEvent`` obeys ``retries``; before, it would end the task for good
    on_kill: bool  #: Airflow itself tells a kill from a restart
    clears_setup: bool  #: clearing a task in the UI clears its setup and its teardowns as well
    returns: bool  #: a task may need a worker again as soon as one has deferred it


def abilities(version: tuple[int, int]) -> Abilities:
    """Return what an Airflow can do, by its major and minor version."""
    return Abilities(
        # 3.1 and 3.2 have the code, commented out.
        starts=(2, 10) <= version <= (3, 0) or version >= (3, 3),
        ends=version >= (2, 10),
        fails=version >= (3, 3),
        on_kill=version >= (3, 3),
        # 3.1 and 3.2 do so only together with what lies downstream.
        clears_setup=version <= (3, 0) or version >= (3, 3),
        # From 3.1 on the executor keeps no account of what runs, so the scheduler takes the late word that the first
        # worker has ended for the end of the second one (apache/airflow#72716).
        returns=version <= (3, 0),
    )
