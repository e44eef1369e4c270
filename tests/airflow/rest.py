"""
The public REST API of Airflow 3, as a user's script would call it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class RestError(RuntimeError):
    """The API answered with an error; the message holds its words."""


class Rest:
    """
    A client of one api-server.

    Args:
        url: The server's root, such as ``http://127.0.0.1:8080``.
        user: A user of the SimpleAuthManager.
        password: Their password.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}
        self._token: str | None = None

    def alive(self) -> bool:
        """Return whether the server answers."""
        try:
            self._call("GET", "/api/v2/version", None, None)
        except (OSError, RestError):
            return False
        return True

    def get(self, path: str) -> Any:
        """Return what is at *path* below ``/api/v2``."""
        return self._authorized("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """Send *body* to *path* below ``/api/v2``."""
        return self._authorized("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """Change what is at *path* below ``/api/v2``."""
        return self._authorized("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Delete what is at *path* below ``/api/v2``."""
        self._authorized("DELETE", path, None)

    def _authorized(self, method: str, path: str, body: Any) -> Any:
        if self._token is None:
            self._token = self._call("POST", "/auth/token", self._login, None)["access_token"]
        return self._call(method, f"/api/v2/{path.lstrip('/')}", body, self._token)

    def _call(self, method: str, path: str, body: Any, token: str | None) -> Any:
        request = urllib.request.Request(self._url + path, method=method)
        request.add_header("Accept", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise RestError(
                    f"{method} {path}: {error.code} {error.read().decode(errors='replace')}"
                ) from None
        return json.loads(content) if content else None


def segment(text: str) -> str:
    """Return *text* as one segment of a path."""
    return urllib.parse.quote(text, safe="")
