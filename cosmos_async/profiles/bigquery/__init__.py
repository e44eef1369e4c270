"""The three ways an Airflow connection to Google Cloud becomes a dbt-bigquery profile."""

from __future__ import annotations

from cosmos_async.profiles.bigquery.oauth import GoogleCloudOauthProfileMapping
from cosmos_async.profiles.bigquery.service_account_file import GoogleCloudServiceAccountFileProfileMapping
from cosmos_async.profiles.bigquery.service_account_keyfile_dict import (
    GoogleCloudServiceAccountDictProfileMapping,
)

__all__ = [
    "GoogleCloudOauthProfileMapping",
    "GoogleCloudServiceAccountDictProfileMapping",
    "GoogleCloudServiceAccountFileProfileMapping",
]
