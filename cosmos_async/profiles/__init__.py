"""Airflow connections as dbt profiles for BigQuery."""

from __future__ import annotations

from cosmos_async.profiles.base import BaseProfileMapping
from cosmos_async.profiles.bigquery import (
    GoogleCloudOauthProfileMapping,
    GoogleCloudServiceAccountDictProfileMapping,
    GoogleCloudServiceAccountFileProfileMapping,
)
from cosmos_async.profiles.foreign import own_mapping
from cosmos_async.profiles.rendered import RenderedProfile

__all__ = [
    "BaseProfileMapping",
    "GoogleCloudOauthProfileMapping",
    "GoogleCloudServiceAccountDictProfileMapping",
    "GoogleCloudServiceAccountFileProfileMapping",
    "RenderedProfile",
    "own_mapping",
]
