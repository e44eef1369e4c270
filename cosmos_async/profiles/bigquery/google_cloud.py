"""What the three ways have in common by which an Airflow connection to Google Cloud becomes a dbt-bigquery profile."""

from __future__ import annotations

from typing import Any

from cosmos_async.airflow.google_connection import CONNECTION_TYPES, as_list, extra_of
from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles.base import BaseProfileMapping
from cosmos_async.profiles.rendered import DEFAULT_THREADS


class GoogleCloudProfileMapping(BaseProfileMapping):
    """A profile of dbt-bigquery; where its credentials come from is the subclass' own."""

    airflow_connection_types = CONNECTION_TYPES

    #: Where else to look when the connection lacks what this mapping needs.
    _way_out = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "keyfile_json" in self.profile_args:
            raise ProfileError(
                f"profile_args for connection {self.conn_id!r} hold a keyfile_json. A key does not belong into a DAG "
                "file, and the triggerer could not see it there: put it into the connection as keyfile_dict."
            )

    @property
    def mock_profile(self) -> dict[str, Any]:
        return {
            "type": self.dbt_profile_type,
            "method": self.dbt_profile_method,
            "project": "mock-project",
            **({} if "schema" in self.profile_args else {"dataset": "mock_dataset"}),
            "threads": DEFAULT_THREADS,
            **self.profile_args,
        }

    def identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {"conn_id": self.conn_id}
        # Only what differs from the connection, so that the triggerer acts as the same principal as dbt.
        if self.profile_args.get("impersonate_service_account"):
            identity["impersonation_chain"] = [self.profile_args["impersonate_service_account"]]
        if self.profile_args.get("quota_project"):
            identity["quota_project"] = str(self.profile_args["quota_project"])
        if self.profile_args.get("scopes"):
            identity["scopes"] = as_list(self.profile_args["scopes"])
        return identity

    @property
    def profile(self) -> dict[str, Any]:
        return self._made()[0]

    @property
    def env_vars(self) -> dict[str, str]:
        return {**self._made()[1], **self.tracking_env}

    def _made(self) -> tuple[dict[str, Any], dict[str, str]]:
        extra = extra_of(self.conn)
        credentials, env = self._credentials(extra)
        output = {
            "type": self.dbt_profile_type,
            "method": self.dbt_profile_method,
            "project": extra.get("project"),
            "dataset": extra.get("dataset"),
            "threads": DEFAULT_THREADS,
            "scopes": as_list(extra.get("scope")),
            "impersonate_service_account": self._principal(extra),
            **credentials,
            **self.profile_args,
        }
        if "schema" in self.profile_args:
            output.pop("dataset")
        output = {name: value for name, value in output.items() if value not in (None, "", [])}
        if "project" not in output and "keyfile_json" in output:
            output["project"] = output["keyfile_json"].get("project_id")
        self._check(output)
        return output, env

    def _credentials(self, extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        raise NotImplementedError

    def _principal(self, extra: dict[str, Any]) -> str | None:
        if self.profile_args.get("impersonate_service_account"):
            return None
        chain = as_list(extra.get("impersonation_chain"))
        if len(chain) > 1:
            raise ProfileError(
                f"Airflow connection {self.conn_id!r} impersonates through a chain of {len(chain)} service accounts, "
                "but dbt-bigquery impersonates exactly one. Allow the connection's account to impersonate "
                f"{chain[-1]} directly and leave only that one in impersonation_chain."
            )
        return chain[0] if chain else None

    def _lacks(self, what: str) -> ProfileError:
        return ProfileError(
            f"Airflow connection {self.conn_id!r} has no {what}, which {type(self).__name__} needs. "
            f"Add it to the connection{self._way_out}."
        )
