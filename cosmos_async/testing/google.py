"""
The stand-in as tests use it: start it, fill it, make it fail, ask what it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from cosmos_async.testing.bigquery import JobApi
from cosmos_async.testing.catalog import MemoryCatalog
from cosmos_async.testing.engine import Catalog, Engine, Json
from cosmos_async.testing.faults import Fault, Faults, Harm, refusal
from cosmos_async.testing.jobs import Job, JobStore
from cosmos_async.testing.metadata import MetadataApi
from cosmos_async.testing.objects import ObjectStore
from cosmos_async.testing.requests import MUTATIONS, Request, RequestLog
from cosmos_async.testing.routes import Route
from cosmos_async.testing.rows import infer_schema
from cosmos_async.testing.script import Answer, ScriptedEngine
from cosmos_async.testing.server import Server
from cosmos_async.testing.storage import StorageApi
from cosmos_async.testing.token import TokenServer
from cosmos_async.testing.uploads import Uploads

When = Callable[[Request], bool]

#: Of the IAM credentials API, whose host gcloud-aio and google-auth have fixed; tests lead them here.
IMPERSONATION = "/v1/projects/-/serviceAccounts/{account}:generateAccessToken"


class FakeGoogle:
    """
    BigQuery, Cloud Storage and their token endpoint on a loopback port, in memory.

        async with FakeGoogle() as google:
            google.add_dataset("p", "shop")
            google.on_query("create or replace table", error=("invalidQuery", "Unrecognized name: amout at [7:9]"))
            ...
            assert len(google.inserted_jobs) == 1

    Args:
        project_id: The project of the service account.
        location: Where datasets and jobs are that name no location.
        engine: Runs the jobs; the scripted one unless given.
        catalog: Keeps datasets and tables; one in memory unless given. Give both or none.
        port: Where to listen; 0 means any free port.
        latency: Seconds that every request waits.
        job_seconds: The least and the most that a job takes of which nothing was said.
        job_slots: How many jobs run at once; further ones are PENDING. None means no limit.
        seed: Where everything random starts.
    """

    def __init__(
        self,
        *,
        project_id: str = "local-project",
        location: str = "US",
        engine: Engine | None = None,
        catalog: Catalog | None = None,
        port: int = 0,
        latency: float = 0.0,
        job_seconds: tuple[float, float] = (0.0, 0.0),
        job_slots: int | None = None,
        seed: int = 0,
    ) -> None:
        if (engine is None) is not (catalog is None):
            raise TypeError("An engine and its catalog belong together: give both or none.")
        self.project_id = project_id
        self.location = location
        self.catalog = MemoryCatalog(location=location)  #: of the scripted engine
        self.script = ScriptedEngine(self.catalog, job_seconds=job_seconds, seed=seed)
        self.tokens = TokenServer()
        self.objects = ObjectStore()
        self.faults = Faults(seed=seed)
        self.jobs = JobStore(engine or self.script, slots=job_slots)
        self._port = port
        self._scripted = engine is None
        self._server = Server(
            authenticate=lambda header: self.tokens.authenticate(header).email,
            faults=self.faults,
            latency=latency,
        )
        uploads = Uploads()
        chosen: Catalog = catalog or self.catalog
        job_api = JobApi(
            jobs=self.jobs, engine=engine or self.script, catalog=chosen, uploads=uploads, location=location
        )
        self._server.add_open("POST", "/token", "token", self.tokens.exchange)
        self._server.add([Route("POST", IMPERSONATION, "impersonation", self.tokens.impersonate)])
        self._server.add(job_api.routes())
        self._server.add(MetadataApi(chosen).routes())
        self._server.add(StorageApi(self.objects, uploads=uploads).routes())

    async def start(self) -> None:
        """Begin to listen."""
        await self._server.start(self._port)

    async def aclose(self) -> None:
        """Stop running jobs and listening."""
        await self.jobs.aclose()
        await self._server.aclose()

    async def __aenter__(self) -> FakeGoogle:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # Where it is and who may call it.

    @property
    def endpoint(self) -> str:
        """The root of all services, without a path: "http://127.0.0.1:49152"."""
        if not self._server.port:
            raise RuntimeError(
                "This stand-in has no address yet: enter it with `async with`, or await start()."
            )
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def bigquery_endpoint(self) -> str:
        """The root that clients add /bigquery/v2 to; gcloud-aio wants that path included in its api_root."""
        return self.endpoint

    @property
    def storage_endpoint(self) -> str:
        """The root that clients add /storage/v1 to."""
        return self.endpoint

    @property
    def token_uri(self) -> str:
        """The token endpoint."""
        return f"{self.endpoint}/token"

    @property
    def email(self) -> str:
        """The service account of `key_file`."""
        return f"cosmos@{self.project_id}.iam.gserviceaccount.com"

    @property
    def key_file(self) -> Json:
        """The content of the service account's key file."""
        return self.add_account(self.email)

    def add_account(self, email: str) -> Json:
        """Create another service account and return the content of its key file."""
        return self.tokens.add_account(email, project_id=self.project_id, token_uri=self.token_uri)

    @property
    def latency(self) -> float:
        """Seconds that every request waits; may be changed at any time."""
        return self._server.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._server.latency = seconds

    # What is there.

    def add_dataset(self, project_id: str, dataset_id: str, **properties: Any) -> Json:
        """Create a dataset; *properties* are REST fields such as `location` and `labels`."""
        return self.catalog.put_dataset(project_id, dataset_id, **properties)

    def add_table(
        self,
        project_id: str,
        dataset_id: str,
        table_id: str,
        *,
        type: str = "TABLE",
        schema: Sequence[Json] | None = None,
        rows: Sequence[Any] = (),
        **properties: Any,
    ) -> Json:
        """Create or replace a table, its dataset included; *schema* is a list of REST fields, *properties* REST fields."""
        if self.catalog.dataset(project_id, dataset_id) is None:
            self.catalog.put_dataset(project_id, dataset_id)
        fields = list(schema if schema is not None else infer_schema(rows))
        return self.catalog.put_table(
            project_id, dataset_id, table_id, rows=rows, type=type, schema={"fields": fields}, **properties
        )

    def add_bucket(self, name: str, *, forbidden: bool = False) -> None:
        """Create a bucket; a *forbidden* one refuses every call with 403."""
        self.objects.add_bucket(name, project_id=self.project_id, forbidden=forbidden)

    def stored(self, bucket: str) -> dict[str, bytes]:
        """Return the objects of a bucket by name, decompressed."""
        found = self.objects.find(bucket).objects
        return {name: stored.plain() for name, stored in sorted(found.items())}

    def on_query(self, *args: Any, **kwargs: Any) -> Answer:
        """Say what jobs do from now on; see `ScriptedEngine.on_query`."""
        if not self._scripted:
            raise RuntimeError("This stand-in's jobs are run by an engine of its own, which takes no script.")
        return self.script.on_query(*args, **kwargs)

    # What goes wrong.

    def fail(
        self,
        operation: str,
        status: int,
        *,
        reason: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        times: int | None = 1,
        when: When | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """
        Refuse calls with an HTTP error.

        Args:
            operation: A name or pattern such as "jobs.insert", "tables.*", "token".
            status: The HTTP status; its usual reason and message follow unless given.
            reason: Google's word, such as "rateLimitExceeded".
            message: Google's sentence.
            retry_after: Seconds for a Retry-After header.
            times: How many calls; None means all.
            when: Which of them.
            probability: How likely each is hit.
        """
        error = refusal(status, reason=reason, message=message, retry_after=retry_after)
        return self.faults.add(
            Fault(operation, Harm.REFUSED, times=times, when=when, probability=probability, error=error)
        )

    def harm(
        self,
        operation: str,
        harm: Harm,
        *,
        seconds: float = 0.0,
        times: int | None = 1,
        when: When | None = None,
        probability: float = 1.0,
    ) -> Fault:
        """Let calls go wrong in another way; the methods below name the usual ones."""
        return self.faults.add(
            Fault(operation, harm, times=times, when=when, probability=probability, seconds=seconds)
        )

    def forbid(self, operation: str, *, when: When | None = None) -> Fault:
        """Refuse all calls with 403 accessDenied, as for a missing permission."""
        return self.fail(operation, 403, times=None, when=when)

    def reset(self, operation: str, *, times: int | None = 1, when: When | None = None) -> Fault:
        """Reset the connection instead of handling the call."""
        return self.harm(operation, Harm.RESET, times=times, when=when)

    def lose_reply(self, operation: str, *, times: int | None = 1, when: When | None = None) -> Fault:
        """Handle the call, then reset the connection instead of answering."""
        return self.harm(operation, Harm.LOST, times=times, when=when)

    def truncate(self, operation: str, *, times: int | None = 1, when: When | None = None) -> Fault:
        """Handle the call, then send half of the answer."""
        return self.harm(operation, Harm.TRUNCATED, times=times, when=when)

    def hold(self, operation: str, *, times: int | None = 1, when: When | None = None) -> Fault:
        """Keep calls waiting, unhandled, until `release()` is called on the returned fault."""
        return self.harm(operation, Harm.HELD, times=times, when=when)

    # What it saw.

    @property
    def requests(self) -> RequestLog:
        """Every request so far."""
        return self._server.requests

    @property
    def mutations(self) -> list[Request]:
        """The requests that were to change something; a dry run is none."""
        return [
            request
            for request in self.requests
            if request.operation in MUTATIONS and not _is_dry_run(request)
        ]

    @property
    def inserted_jobs(self) -> list[Job]:
        """The jobs that exist, oldest first, without the statements of scripts."""
        return [job for job in self.jobs if job.parent is None]

    def job(self, job_id: str) -> Job:
        """Return the job with this id, wherever it ran."""
        for job in self.jobs:
            if job.job_id == job_id:
                return job
        raise KeyError(f"no job {job_id} among {[job.job_id for job in self.jobs]}")

    def __repr__(self) -> str:
        return (
            f"<FakeGoogle on port {self._server.port}: {len(self.jobs)} jobs, {len(self.requests)} requests>"
        )


def _is_dry_run(request: Request) -> bool:
    if request.operation not in ("jobs.insert", "jobs.query"):
        return False
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        return False
    body: Mapping[str, Any] = request.json or {}
    return bool(body.get("dryRun") or body.get("configuration", {}).get("dryRun"))
