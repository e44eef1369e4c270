"""
What holds for all unit tests, on whatever machine and Python they run.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow; that says nothing of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what the last pytest-asyncio for Python 3.9 leaves behind where a test calls ``asyncio.run``: an open loop."""
    if sys.version_info < (3, 10):  # removable when Python 3.9 is dropped
        for left in (
            "unclosed event loop",
            r"unclosed <socket\.socket fd=\d+, family=AddressFamily\.AF_UNIX",
        ):
            config.addinivalue_line("filterwarnings", f"ignore:{left}:ResourceWarning")
