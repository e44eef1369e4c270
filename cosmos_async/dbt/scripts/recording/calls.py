"""One request on its way to BigQuery, taken apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PATH = re.compile(r"^(?P<base>.*?)(?P<upload>/(?:resumable/)?upload)?/bigquery/v2/(?P<path>projects/.*)$")


class Call:
    """
    A request.

    Args:
        send: What sends it.
        method: The HTTP method.
        url: The whole address.
        args: Further arguments of *send*.
        kwargs: As before.
    """

    def __init__(self, send: Callable[..., Any], method: str, url: str, args: Any, kwargs: Any) -> None:
        self._send = send
        self._args, self._kwargs = args, kwargs
        self.method = method.upper()
        self.url = url
        self.data: Any = args[0] if args else kwargs.get("data")
        self.headers: Any = kwargs.get("headers") or {}
        split = urlsplit(url)
        self.query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        match = _PATH.match(f"{split.scheme}://{split.netloc}{split.path}")
        self.known = match is not None  #: whether it is BigQuery's REST API at all
        self.base = match["base"] if match else ""  #: the API's root
        self.is_upload = bool(match and match["upload"])
        self.path = match["path"].rstrip("/") if match else split.path
        self.parts = [unquote(part) for part in self.path.split("/")]

    @property
    def shape(self) -> tuple[Any, ...]:
        """The method, how long the path is, and its words without the names between them."""
        return (self.method, len(self.parts), *self.parts[2::2])

    @property
    def table(self) -> tuple[str, str, str]:
        """The table it is about."""
        return (self.parts[1], self.parts[3], self.parts[5])

    @property
    def document(self) -> Any:
        """The JSON it carries."""
        return json.loads(self.data.decode() if isinstance(self.data, bytes) else self.data)

    def forward(self) -> Any:
        """Send it and return BigQuery's answer."""
        return self._send(self.method, self.url, *self._args, **self._kwargs)

    def beside(self, method: str, path: str) -> Any:
        """Send a request of our own that changes nothing, to the same API, and return BigQuery's answer."""
        return self._send(method, f"{self.base}/bigquery/v2/{path}")

    def forward_query(self, query: str) -> Any:
        """Send the job it inserts with another query, and return BigQuery's answer."""
        document = self.document
        document["configuration"]["query"]["query"] = query
        data = json.dumps(document)
        if self._args:
            return self._send(self.method, self.url, data, *self._args[1:], **self._kwargs)
        return self._send(self.method, self.url, **{**self._kwargs, "data": data})
