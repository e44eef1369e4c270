"""
Google's way of answering: JSON, the error shape, etags, pages.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from cosmos_async.testing.engine import ApiError, Json

#: google.rpc.Code names beside the HTTP status.
RPC_NAMES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return *body* as a JSON response."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, content_type="application/json", charset="utf-8",
        headers=headers,
    )  # fmt: skip


def error_answer(error: ApiError) -> web.Response:
    """Return *error* in Google's JSON error shape; a 502 comes from Google's front end, which speaks HTML."""
    if error.status == 502:
        page = f"<!DOCTYPE html><html><title>Error 502 (Server Error)!!1</title><p>{error.message}</p></html>"
        return web.Response(status=502, text=page, content_type="text/html", headers=error.headers)
    detail: Json = {"message": error.message, "domain": "global", "reason": error.reason}
    if error.location:
        kind = "header" if error.location in ("Authorization", "If-Match") else "parameter"
        detail.update(location=error.location, locationType=kind)
    body: Json = {"code": error.status, "message": error.message, "errors": [detail]}
    if error.status in RPC_NAMES:
        body["status"] = RPC_NAMES[error.status]
    return json_answer({"error": body}, status=error.status, headers=error.headers)


async def json_body(request: web.Request) -> Json:
    """Return the request's JSON object; an empty body is an empty object."""
    return parse_json(await request.read())


def parse_json(raw: bytes) -> Json:
    """Return the JSON object in *raw* or refuse the call."""
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise ApiError(400, "parseError", "Parse Error") from None
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "Invalid JSON payload received: an object was expected.")
    return body


def integer(request: web.Request, name: str, default: int) -> int:
    """Return the query parameter *name* as a number that is not negative."""
    raw = request.query.get(name, "")
    if not raw:
        return default
    if not raw.isdigit():
        raise ApiError(400, "invalidParameter", f"Invalid value '{raw}' for {name}.", location=name)
    return int(raw)


def etag(resource: Any) -> str:
    """Return an etag that changes with the resource."""
    text = json.dumps(resource, sort_keys=True, default=str)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode() + "=="


def page(items: Sequence[Any], *, size: int, token: str | None) -> tuple[Sequence[Any], str | None]:
    """Return one page of *items* and the token of the next; tokens hold an offset."""
    start = page_start(token)
    after = start + size
    return items[start:after], page_token(after) if after < len(items) else None


def page_token(start: int) -> str:
    """Return the token of the page that begins at *start*."""
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def page_start(token: str | None) -> int:
    """Return where the page of *token* begins."""
    if not token:
        return 0
    try:
        word, start = base64.urlsafe_b64decode(token.encode()).decode().split(":")
        if word != "from":
            raise ValueError(token)
        return int(start)
    except ValueError:
        raise ApiError(400, "invalid", f"Invalid page token {token}", location="pageToken") from None


def merged(base: Json, extra: Mapping[str, Any]) -> Json:
    """Return *base* with *extra* merged into it, object by object; neither is changed."""
    result = dict(base)
    for key, value in extra.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, Mapping):
            result[key] = merged(before, value)
        else:
            result[key] = value
    return result


def partial(body: Any, mask: str) -> Any:
    """Return what the `fields` parameter asks for, such as "jobs(jobReference/jobId,state),nextPageToken"."""
    return _selected(body, _parsed_mask(mask))


def _parsed_mask(mask: str) -> Json:
    """Return the mask as a tree; an empty branch means everything below."""
    tree: Json = {}
    levels = [tree]  # the open parentheses
    branch = tree
    for word in re.findall(r"[^,()/\s]+|[,()/]", mask):
        if word == "(":
            levels.append(branch)
        elif word == ")":
            levels.pop()
            if not levels:
                break
        elif word == ",":
            branch = levels[-1]
        elif word != "/":
            branch = branch.setdefault(word, {})
    if len(levels) != 1 or not tree:
        raise ApiError(400, "invalidParameter", f"Invalid field selection {mask}", location="fields")
    return tree


def _selected(value: Any, tree: Json) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_selected(item, tree) for item in value]
    if isinstance(value, dict):
        return {key: _selected(value[key], branch) for key, branch in tree.items() if key in value}
    return value
