"""
Everything that can go wrong, in the words of the person who has to mend it.

The tree, with one root to catch::

    CosmosAsyncError
    ├── ConfigError              a setting, a profile or a project file is wrong
    │   ├── ProfileError         the profile, target or connection
    │   └── ProjectError         the dbt project or its manifest
    ├── DbtError                 dbt itself said no; its own words are inside
    ├── PlanError                the plan cannot be used
    │   ├── PlanNotFound         it is not where it should be
    │   │   └── PlanGone         it was there once
    │   ├── PlanDamaged          it is not what its setup wrote
    │   └── PlanVersionMismatch  another version wrote it
    ├── StoreError               the place for plans and outcomes cannot be used
    ├── JobTaken                 a job's computed id belongs to another job
    ├── GuardDiffered            the warehouse is not what the plan was made for
    └── ApiError                 Google answered with an error
        ├── JobFailed            a BigQuery job ended with an error
        ├── AuthError            no token, or not an accepted one
        └── Unavailable          no answer within the budget of retries

A message says what happened to which node, file or setting, then the evidence, then the way out.
"""

from __future__ import annotations

from typing import Any

_LONGEST_VALUE = 300  # characters of a value in a message


class CosmosAsyncError(Exception):
    """The root of the tree."""


class ConfigError(CosmosAsyncError, ValueError):
    """A setting, a profile or a project file is wrong. A ``ValueError``, as its like in Cosmos is."""


class ConfigWarning(UserWarning):
    """What a DAG file says has no effect, or less than it seems; its words name the place and what happens instead."""


class ProfileError(ConfigError):
    """The dbt profile, its target or the Airflow connection behind it cannot be used."""


class ProjectError(ConfigError):
    """The dbt project or its manifest cannot be used."""


class DbtError(CosmosAsyncError):
    """dbt itself refused; the message carries its own words."""


class PlanError(CosmosAsyncError):
    """The plan of a run or a node cannot be used."""


class PlanNotFound(PlanError):
    """The plan is not where it should be."""


class PlanGone(PlanNotFound):
    """The plan was there and is not any more, as the run is over and its teardown has deleted it."""


class PlanDamaged(PlanError):
    """The plan is not what its setup task wrote."""


class PlanVersionMismatch(PlanError):
    """The plan was written by a version whose format this one does not read."""


class StoreError(CosmosAsyncError):
    """The place for plans and outcomes is missing, forbidden or not shared."""


class JobTaken(CosmosAsyncError):
    """BigQuery has another job under the id that ours would have; it is neither adopted nor ended."""


class GuardDiffered(CosmosAsyncError):
    """
    The warehouse answers otherwise than when the plan was made.

    The node has to go the slow way; nothing more of its plan may be written.
    """

    def __init__(
        self, unique_id: str, subject: str, planned: Any, found: Any, *, assumed: bool = False
    ) -> None:
        super().__init__(
            f"{unique_id}: {subject} is no longer what the plan was made for: planned {_shown(planned)}, "
            f"found {_shown(found)}"
        )
        self.unique_id = unique_id
        self.subject = subject
        self.planned = planned
        self.found = found
        #: it was known that the run may change it, see ``Guard.assumed`` of a plan
        self.assumed = assumed


def _shown(value: Any) -> str:
    # It may be the rows of a query; the sentence is for a person, and travels with the task.
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"


class DbtMustJudge(CosmosAsyncError):
    """What became of the node can be told by real dbt only; the message is a sentence for a person."""


class ApiError(CosmosAsyncError):
    """
    Google answered with an error.

    Args:
        message: The whole sentence for a person.
        status: The HTTP status, or None where there was no answer.
        reason: BigQuery's or GCS's own word for the error, such as ``rateLimitExceeded``.
        retry_after: Seconds the server asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class AuthError(ApiError):
    """There is no token to be had, or Google does not accept it."""


class Unavailable(ApiError):
    """There was no usable answer within the budget of retries; the last error is the cause."""


class JobFailed(ApiError):
    """
    A BigQuery job ended with an error.

    Args:
        message: BigQuery's own message, untouched.
        reason: BigQuery's own reason, such as ``invalidQuery``.
        job: The job's resource, as ``jobs.get`` gave it.
    """

    def __init__(self, message: str, *, reason: str | None, job: dict[str, Any]) -> None:
        super().__init__(message, reason=reason)
        self.job = job


# What DAG files written for Cosmos catch.
CosmosValueError = ConfigError
CosmosDbtRunError = DbtError
AirflowCompatibilityError = ConfigError  #: an Airflow that lacks something says so as any wrong setting does
