"""Airflow connections as dbt profiles for BigQuery."""

from __future__ import annotations

from cosmos_async.profiles.base import BaseProfileMapping, RenderedProfile
from cosmos_async.profiles.bigquery import (
    GoogleCloudOauthProfileMapping,
    GoogleCloudServiceAccountDictProfileMapping,
    GoogleCloudServiceAccountFileProfileMapping,
)
from cosmos_async.profiles.foreign import own_mapping

__all__ = [
    "BaseProfileMapping",
    "GoogleCloudOauthProfileMapping",
    "GoogleCloudServiceAccountDictProfileMapping",
    "GoogleCloudServiceAccountFileProfileMapping",
    "RenderedProfile",
    "own_mapping",
]
