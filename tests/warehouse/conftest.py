"""One warehouse for all tests of this folder."""

from __future__ import annotations

from tests.warehouse.fixture import warehouse

__all__ = ["warehouse"]
