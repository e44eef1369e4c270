"""
Make sure that a dbt's requests come to our server, before it is given credentials with which it could change anything.

dbt is asked for one query with a service account that exists nowhere: its key asks our server for a token, and BigQuery
knows neither. So a dbt, or a driver, that does not look where the profile's ``api_endpoint`` is ends there.
"""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from cosmos_async.dbt.endpoint.program import Program, write_profile
from cosmos_async.dbt.endpoint.server import Refused, Server
from cosmos_async.dbt.environment.hints import hint
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError

_COMMAND = ("debug", "--connection")
#: What a profile says of credentials.
_CREDENTIALS = frozenset(
    (
        *(
            "method",
            "keyfile",
            "keyfile_json",
            "token",
            "refresh_token",
            "client_id",
            "client_secret",
            "token_uri",
        ),
        *("impersonate_service_account", "workload_pool_provider_path", "service_account_impersonation_url"),
        *("token_endpoint", "quota_project", "api_endpoint"),
    )
)
_BITS = 2048


def require_own_endpoint(dbt: Dbt, program: Program) -> None:
    """
    Let dbt ask for a query, with worthless credentials.

    Args:
        dbt: Opened.
        program: Runs it.

    Raises:
        DbtError: The query did not come to our server.
    """
    assert dbt.program is not None
    came: list[str] = []

    def answer(call: Call) -> NoReturn:
        came.append(call.path)
        raise Refused("Nothing is sent yet: this only shows where dbt's requests go.")

    server = Server(answer, token=secrets.token_hex(16))
    with server.serve() as endpoint, program.quiet() as lines:
        key = _worthless_key(server.token_address(endpoint))
        env = write_profile(
            dbt, endpoint, without=_CREDENTIALS, more={"method": "service-account-json", "keyfile_json": key}
        )
        finished = program.run(program.command(_COMMAND), env)
    if not came:
        words = "\n".join(lines[-15:])
        way_out = hint(dbt.program, words, {**dbt.workspace.env, **env})
        if way_out:  # it had not come so far as to ask
            raise DbtError(
                "dbt 2 was asked for one query, to see where its requests go, and sent none. dbt itself said (exit code "
                f"{finished.exit_code}):\n{words}\n{way_out}"
            )
        raise DbtError(
            "dbt 2 was asked for one query, with credentials that are worth nothing, and the query did not come to the address "
            "that the profile names as api_endpoint: this dbt, or its BigQuery driver, does not look there. So it cannot be "
            f"recorded; nothing was sent. dbt itself said (exit code {finished.exit_code}):\n{words}"
        )


def _worthless_key(token_uri: str) -> dict[str, Any]:
    """Return a service account's key that Google does not know."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    nobody = "nobody@cosmos-async.invalid"
    return {
        "type": "service_account",
        "project_id": "cosmos-async-nothing",
        "private_key_id": "0",
        "private_key": key.decode(),
        "client_email": nobody,
        "client_id": "0",
        "auth_uri": token_uri,
        "token_uri": token_uri,
        "auth_provider_x509_cert_url": token_uri,
        "client_x509_cert_url": token_uri,
    }
