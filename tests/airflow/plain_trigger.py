"""
A trigger that naps and ends its task, for the harness' own test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent


class Nap(BaseTrigger):
    """Sleep, then succeed, without a worker."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and its arguments."""
        return ("tests.airflow.plain_trigger.Nap", {"seconds": self.seconds})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Nap."""
        self.log.info("napping for %s s", self.seconds)
        await asyncio.sleep(self.seconds)
        yield TaskSuccessEvent()
