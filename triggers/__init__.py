"""
What runs in the triggerer: async, and nothing that blocks.

Always imported as ``cosmos_async.triggers``; Airflow keeps class paths, and there must be one of each.
"""

from __future__ import annotations
