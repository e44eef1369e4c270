"""
What everybody who works on one BigQuery with one identity shares: the API, the waiter, the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_async import settings
from cosmos_async.triggers.google.bigquery import BigQuery
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.jobs.concurrency import Limit
from cosmos_async.triggers.jobs.waiter import Waiter


@dataclass(frozen=True)
class Warehouse:
    """One BigQuery as one identity sees it."""

    bigquery: BigQuery
    waiter: Waiter
    limit: Limit  #: of jobs

    def batches_of(self, index: str, most: int) -> Limit:
        """
        Return the limit that all microbatch models of a run share, as dbt's threads are shared by the whole run.

        Args:
            index: The digest of the run's index.
            most: dbt's ``threads``; 0 means no bound.
        """
        found: Limit = self.bigquery.session.shared.setdefault(("batches", index), Limit(most))
        return found

    def jobs_of(self, index: str, most: int) -> Limit:
        """
        Return the limit that all jobs of a run share, beside that of all runs (:attr:`limit`).

        Args:
            index: The digest of the run's index.
            most: ``max_concurrent_jobs`` of the DAG's ``operator_args``; 0 means no bound.
        """
        found: Limit = self.bigquery.session.shared.setdefault(("jobs", index), Limit(most))
        return found


def warehouse_of(session: Session, endpoint: str | None = None) -> Warehouse:
    """
    Return the warehouse of *session*, the same one for everybody.

    Args:
        session: Whose.
        endpoint: The endpoint of the run's dbt profile; the setting ``bigquery_endpoint`` wins over it.
    """
    endpoint = settings.bigquery_endpoint() or endpoint
    key = ("warehouse", endpoint)
    found: Warehouse | None = session.shared.get(key)
    if found is None:
        bigquery = BigQuery(session, endpoint)
        found = Warehouse(bigquery, Waiter(bigquery), Limit(settings.max_concurrent_jobs()))
        session.shared[key] = found
        session.on_close(found.waiter.aclose)
    return found
