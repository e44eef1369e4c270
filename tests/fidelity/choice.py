"""
Which cases of the suite are tried: those that were named, and of these one process' share.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """
    A choice of cases.

    Args:
        only: What the names of the cases begin with, such as "basic." or "kitchen"; empty takes all.
        share: Which of the shares, counted from 0.
        shares: Over how many processes the cases are spread.
    """

    only: tuple[str, ...] = ()
    share: int = 0
    shares: int = 1

    def takes(self, name: str) -> bool:
        """Return whether the case *name* is tried here; each is tried in exactly one share."""
        if self.only and not name.startswith(self.only):
            return False
        return zlib.crc32(name.encode()) % self.shares == self.share


ALL = Choice()
