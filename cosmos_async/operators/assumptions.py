"""
What is kept of wrong assumptions in the store, beside the kept plan; see :mod:`cosmos_async.plan.assumptions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timezone
from typing import Any

from cosmos_async.operators.kept_objects import keep, read_kept
from cosmos_async.plan.assumptions import (
    ASSUMPTIONS_OBJECT,
    Wrong,
    changing,
    dump_wrong,
    load_wrong,
    with_wrong,
)


def changing_nodes(folder: str, operator: Any) -> Collection[str]:
    """
    Return the unique ids of nodes with which nothing is assumed in this run.

    Args:
        folder: The run's folder.
        operator: The setup task.
    """
    return changing(_known(folder, operator), _today())


def keep_wrong(folder: str, nodes: Iterable[str], operator: Any, *, run: str) -> Collection[str]:
    """
    Keep with which nodes assumptions were wrong in this run, and return those with which nothing is assumed from now on.

    Args:
        folder: The run's folder.
        nodes: Their unique ids.
        operator: The results task.
        run: The run's nonce.
    """
    today = _today()
    known = with_wrong(_known(folder, operator), nodes, today, run)
    keep(folder, ASSUMPTIONS_OBJECT, dump_wrong(known), operator)
    return changing(known, today)


def _known(folder: str, operator: Any) -> dict[str, Wrong]:
    data = read_kept(folder, ASSUMPTIONS_OBJECT, operator)
    return {} if data is None else load_wrong(data)


def _today() -> date:
    return datetime.now(timezone.utc).date()
