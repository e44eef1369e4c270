"""
Public fakes: Google's side of the wire, for tests and demonstrations without an account.

`FakeGoogle` serves BigQuery's job API, Cloud Storage's JSON API and an OAuth token endpoint on a loopback port.
Nothing in the package imports this room; it may import aiohttp, which the rest of `cosmos_async` must not.
"""

from __future__ import annotations
