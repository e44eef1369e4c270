"""The bytes of load jobs, kept beside the recording."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from typing import Any

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Uploads:
    """
    Receives what dbt uploads.

    Args:
        folder: Is made when something is kept; each file is called by the SHA-256 of its bytes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._open: dict[str, tuple[Any, bytearray]] = {}
        self._lock = threading.Lock()

    def begin(self, body: Any, url: str) -> str:
        """Open an upload session and return its address."""
        with self._lock:
            address = f"{url.split('?')[0]}?uploadType=resumable&upload_id=cosmos-async-{len(self._open)}"
            self._open[address] = (body, bytearray())
        return address

    def is_session(self, url: str) -> bool:
        """Tell whether *url* was returned by :meth:`begin`."""
        return url in self._open

    def receive(self, url: str, data: Any, headers: Any) -> tuple[int, tuple[Any, bytes] | None]:
        """Take in one chunk; return how many bytes there are, and body and bytes once they are all there."""
        body, content = self._open[url]
        content.extend(data.read() if hasattr(data, "read") else data or b"")
        wanted = {name.lower(): value for name, value in headers.items()}.get("content-range", "")
        if isinstance(wanted, bytes):
            wanted = wanted.decode()
        match = _RANGE.match(wanted)
        total = match and match[3]
        if total == "*" or (total and len(content) < int(total)):
            return len(content), None
        return len(content), (body, bytes(content))

    def multipart(self, data: bytes, headers: Any) -> tuple[Any, bytes]:
        """Take a multipart upload apart."""
        kind = {name.lower(): value for name, value in headers.items()}["content-type"]
        kind = kind.decode() if isinstance(kind, bytes) else kind
        boundary = b"--" + kind.split("boundary=")[1].strip('"').encode()
        _, first, second, _ = data.split(boundary)
        return json.loads(_part(first)), _part(second)

    def keep(self, content: bytes) -> str:
        """Write bytes down and return their SHA-256."""
        name = hashlib.sha256(content).hexdigest()
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)
        return name


def _part(section: bytes) -> bytes:
    return section.split(b"\r\n\r\n", 1)[1][: -len(b"\r\n")]
