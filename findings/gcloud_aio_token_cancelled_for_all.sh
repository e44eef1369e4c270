#!/usr/bin/env bash
# gcloud-aio-auth 5.6.0: whoever waits for a token waits for one shared refresh, unshielded. Cancelling ONE of the
# waiting tasks cancels the refresh, and every other task gets a CancelledError it never asked for.
# In Airflow's triggerer that looks as if all triggers had been cancelled because one was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check gcloud-aio-auth==5.6.0
"$python" - <<'PYTHON'
import asyncio
import importlib.metadata
import sys

from gcloud.aio.auth import Token
from gcloud.aio.auth.token import TokenResponse


class SlowToken(Token):
    """A token whose server answers when it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        super().__init__(service_file=KEY, scopes=["scope"])

    async def refresh(self, *, timeout: int) -> TokenResponse:
        await self.answers.wait()
        return TokenResponse(value="token", expires_in=3600)


async def main() -> int:
    token = SlowToken()
    tasks = [asyncio.create_task(token.get()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    token.answers.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await token.close()
    return sum(isinstance(each, asyncio.CancelledError) for each in outcomes)


import io
import json

KEY = io.StringIO(json.dumps({"type": "service_account", "client_email": "a@b.c", "private_key": "none"}))
cancelled = asyncio.run(main())
print(f"Python {sys.version.split()[0]}, gcloud-aio-auth {importlib.metadata.version('gcloud-aio-auth')}")
print(f"one of five waiting tasks was cancelled; {cancelled} ended with CancelledError")
assert cancelled == 5, "the behaviour has changed"
PYTHON
