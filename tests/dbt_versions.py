"""
The versions of dbt that the tests are run with, each in an environment below ``.venvs``.

`make test-dbt DBT=1.11` (or 1.12.0) takes another one for the newest.
"""

from __future__ import annotations

import os

#: Those that have an environment; `tests/env` has a list of packages for each.
KNOWN = ("1.9", "1.11", "1.12.0", "1.12")
OLDEST, NEWEST = "1.9", os.environ.get("TESTED_DBT") or "1.12"
VERSIONS = (NEWEST, OLDEST)
#: The newest has what dbt 1.12 has brought.
HAS_1_12 = NEWEST.startswith("1.12")
