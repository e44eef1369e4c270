"""Nothing secret is ever written: canaries go in through every way of authentication, and everything is searched."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.google.session import shared_session
from tests.unit.triggers.bench import Bench, FakeClock, event_of, model
from tests.unit.triggers.ends import is_success

REFRESH_TOKEN = "1//canary-refresh-token"
CLIENT_SECRET = "GOCSPX-canary-client-secret"


class Connection:
    """What Airflow gives."""

    conn_type = "google_cloud_platform"

    def __init__(self, **extra: Any) -> None:
        self.extra_dejson = extra


class Secrets:
    """
    Ways to authenticate, each with its canaries.

    Args:
        google: Accepts them.
        folder: For files.
        monkeypatch: Puts connections and variables into place.
    """

    def __init__(self, google: FakeGoogle, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._google = google
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.token = google.tokens.issue(google.email)
        google.tokens.add_login(
            google.email, client_id="client", client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN
        )

    def connection(self, **extra: Any) -> dict[str, Any]:
        """Return the identity of an Airflow connection."""
        self._monkeypatch.setattr(
            "cosmos_async.triggers.google.credentials._get_connection", lambda conn_id: Connection(**extra)
        )
        return {"conn_id": "gcp"}

    def profile(self, **output: Any) -> dict[str, Any]:
        """Return the identity of a target in a profiles.yml."""
        path = self._folder / "profiles.yml"
        target = {"type": "bigquery", "project": "p", "dataset": "shop", **output}
        path.write_text(yaml.safe_dump({"shop": {"outputs": {"prod": target}}}))
        return {"profiles_yml": str(path), "profile": "shop", "target": "prod"}

    def key_file(self) -> str:
        """Return the path of a key file."""
        path = self._folder / "key.json"
        path.write_text(json.dumps(self._google.key_file))
        return str(path)

    def variable(self, name: str, value: str) -> str:
        """Set an environment variable; return what a profiles.yml says to read it."""
        self._monkeypatch.setenv(name, value)
        return f"{{{{ env_var('{name}') }}}}"

    def all(self) -> list[str]:
        """Return everything that must not be seen."""
        key = self._google.key_file
        lines = [line for line in key["private_key"].splitlines() if "-----" not in line]
        found = [REFRESH_TOKEN, CLIENT_SECRET, key["private_key_id"], *lines]
        return [*found, self.token, *self._google.tokens.secrets]


METHODS: dict[str, Callable[[Secrets, FakeGoogle], dict[str, Any]]] = {
    "connection, key as text": lambda s, g: s.connection(keyfile_dict=json.dumps(g.key_file)),
    "connection, key as an object": lambda s, g: s.connection(keyfile_dict=g.key_file),
    "connection, key path": lambda s, g: s.connection(key_path=s.key_file()),
    "connection, the DAG's key path": lambda s, g: {
        **s.connection(keyfile_dict="x"),
        "key_path": s.key_file(),
    },
    "connection, impersonation": lambda s, g: s.connection(
        keyfile_dict=g.key_file, impersonation_chain="a@p.iam,run@p.iam"
    ),
    "the DAG's impersonation": lambda s, g: {
        **s.connection(keyfile_dict=g.key_file),
        "impersonation_chain": ["run@p.iam"],
    },
    "profile, key": lambda s, g: s.profile(method="service-account-json", keyfile_json=g.key_file),
    "profile, key from the environment": lambda s, g: s.profile(
        method="service-account-json",
        keyfile_json={
            **g.key_file,
            "private_key": s.variable("DBT_ENV_SECRET_KEY", g.key_file["private_key"].replace("\n", "\\n")),
        },
    ),
    "profile, key file": lambda s, g: s.profile(method="service-account", keyfile=s.key_file()),
    "profile, refresh token": lambda s, g: s.profile(
        method="oauth-secrets",
        refresh_token=s.variable("DBT_ENV_SECRET_REFRESH", REFRESH_TOKEN),
        client_id="client",
        client_secret=CLIENT_SECRET,
        token_uri=f"{g.endpoint}/token",
    ),
    "profile, token": lambda s, g: s.profile(method="oauth-secrets", token=s.token),
    "profile, impersonation": lambda s, g: s.profile(
        method="service-account-json", keyfile_json=g.key_file, impersonate_service_account="run@p.iam"
    ),
}

#: What goes wrong.
TROUBLES: dict[str, Callable[[FakeGoogle], Any]] = {
    "no token": lambda google: google.tokens.deny(),
    "a token endpoint that is down": lambda google: google.fail("token", 503, times=None),
    "no impersonation": lambda google: google.forbid("impersonation"),
    "a store that refuses the token": lambda google: google.fail("objects.*", 401, times=None),
    "a warehouse that refuses the token": lambda google: google.fail("tables.get", 401, times=None),
    "no permission": lambda google: google.forbid("jobs.insert"),
    "broken connections": lambda google: google.reset("jobs.insert", times=None),
    "a query that fails": lambda google: google.on_query("", error=("invalidQuery", "No such column")),
}
#: Each trouble with every third method, so that each method meets some and each trouble meets all kinds.
PAIRS = [
    (method, trouble)
    for row, method in enumerate(METHODS)
    for column, trouble in enumerate(TROUBLES)
    if (row + column) % 3 == 0
]


@pytest.fixture
def secrets(google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """Canaries that the stand-in accepts, and an impersonation that ends there."""
    from cosmos_async.testing.google import IMPERSONATION

    where = google.endpoint + IMPERSONATION.replace("{account}", "{service_account}")
    monkeypatch.setattr("cosmos_async.triggers.google.token.IMPERSONATION_URI", where)
    return Secrets(google, tmp_path, monkeypatch)


def written(bench: Bench, event: Any, trigger: Any, caplog: pytest.LogCaptureFixture) -> str:
    """Return everything that a task has written, wherever to."""
    parts = [
        json.dumps(trigger.serialize()),
        repr(event) + json.dumps(getattr(event, "payload", None), default=str),
        json.dumps(bench.airflow.left, default=str),
        bench.log.text,
        *(
            logging.Formatter("%(message)s").format(record) + (record.exc_text or "")
            for record in caplog.records
        ),
        *(name + data.decode("utf-8", "replace") for name, data in bench.google.stored("plans").items()),
    ]
    return "\n".join(parts)


def seen_in(text: str, secrets: list[str]) -> list[str]:
    """Return which of *secrets* are in *text*: as they are, as JSON or a URL writes them, or in base64."""
    from urllib.parse import quote_plus

    ways: list[Callable[[str], str]] = [
        str,
        lambda secret: json.dumps(secret)[1:-1],
        quote_plus,
        lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    ]
    return [secret for secret in secrets if any(way(secret) in text for way in ways)]


def test_the_search_finds_what_it_looks_for() -> None:
    """Otherwise the tests below could not fail."""
    assert seen_in("... 1//canary-refresh-token ...", [REFRESH_TOKEN]) == [REFRESH_TOKEN]
    assert seen_in("... 1%2F%2Fcanary-refresh-token ...", [REFRESH_TOKEN]) == [REFRESH_TOKEN]
    assert seen_in("nothing", [REFRESH_TOKEN]) == []


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_works_and_writes_no_secret(
    bench: Bench, secrets: Secrets, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A model is built with it, every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    await bench.plan(model("orders"))
    bench.identity = METHODS[method](secrets, bench.google)

    trigger = bench.trigger()
    event = await event_of(trigger)

    assert is_success(event), bench.log.text
    assert seen_in(written(bench, event, trigger, caplog), secrets.all()) == []


@pytest.mark.parametrize(("method", "trouble"), PAIRS)
async def test_whatever_goes_wrong_no_secret_is_told(
    bench: Bench,
    secrets: Secrets,
    clock: FakeClock,
    method: str,
    trouble: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Error messages are where secrets get out: the message of the task, its log, the log of every library."""
    caplog.set_level(logging.DEBUG)
    await bench.plan(model("orders"))
    bench.identity = METHODS[method](secrets, bench.google)
    known = secrets.all()
    TROUBLES[trouble](bench.google)

    trigger = bench.trigger(fails_in_triggerer=False, succeeds_in_triggerer=False)
    event = await event_of(trigger)
    bench.google.faults.clear()

    assert seen_in(written(bench, event, trigger, caplog), known + secrets.all()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: {**key, "private_key": key["private_key"][:400]},
        lambda key: {**key, "private_key": "canary-not-a-key"},
        lambda key: {**key, "private_key": ["canary-not-a-key"]},
        lambda key: {name: value for name, value in key.items() if name != "client_email"},
        lambda key: {name: value for name, value in key.items() if name != "private_key"},
        lambda key: {**key, "type": "canary-not-a-key"},
        lambda key: json.dumps(key)[:-40],
    ],
    ids=["cut", "no key", "a list", "no account", "nothing to sign with", "unknown type", "half of it"],
)
async def test_a_key_that_cannot_be_used_is_not_quoted(
    bench: Bench, secrets: Secrets, clock: FakeClock, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Parsers like to show what they could not read."""
    caplog.set_level(logging.DEBUG)
    await bench.plan(model("orders"))
    bench.identity = secrets.connection(keyfile_dict=spoil(dict(bench.google.key_file)))

    trigger = bench.trigger(fails_in_triggerer=False)
    event = await event_of(trigger)

    assert event.payload["status"] == "failed"
    told = written(bench, event, trigger, caplog)
    assert seen_in(told, ["canary-not-a-key", *secrets.all()]) == []


async def test_a_session_shows_no_secret_when_it_is_printed(bench: Bench, secrets: Secrets) -> None:
    """Somebody will log an object one day, or a traceback its local variables."""
    bench.identity = METHODS["profile, refresh token"](secrets, bench.google)
    async with shared_session(bench.identity) as session:
        await session.token.get()
        told = " ".join(map(repr, (session, session.credentials, session.token, session.http)))

    assert seen_in(told, secrets.all()) == []
