"""
Nothing in here is collected unless ``python -m tests.matrix`` names an Airflow.
"""

from __future__ import annotations

import os

AIRFLOW = "COSMOS_ASYNC_MATRIX"

collect_ignore_glob = [] if os.environ.get(AIRFLOW) else ["test_*.py"]
