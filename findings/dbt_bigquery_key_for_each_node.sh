#!/usr/bin/env bash
# dbt-bigquery 1.12.1 (dbt-core 1.11.16): for each node that asks BigQuery something, dbt reads the service account's key
# and gets a token once more.
#
# dbt gives a node's connection back when the node is done, and opens one for the next (`BigQueryConnectionManager.open`),
# which makes a new client with new credentials (`create_google_credentials`). The private key is parsed and checked each
# time, which takes cryptography some 30 to 100 ms of a processor for 2,048 bits, and each client's first request waits
# for a token of its own. In a project of hundreds of nodes this is a large part of what dbt itself does.
#
# Below, dbt compiles ten models, each of which asks one query while it compiles, in one thread; a server of a few lines
# answers as BigQuery and as the token endpoint and counts. Fails if dbt gets fewer than one token for each model. Needs
# Python 3.11.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
for name in $(compgen -e | grep '^DBT_' || true); do unset "$name"; done

"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dbt-core==1.11.16 dbt-bigquery==1.12.1

mkdir -p "$folder/project/models"
cd "$folder/project"
cat > dbt_project.yml <<'YAML'
name: shop
version: "1.0"
profile: shop
flags: {send_anonymous_usage_stats: false}
YAML
for number in 1 2 3 4 5 6 7 8 9 10; do
    echo "select {{ run_query('select 1 as one').columns[0].values()[0] if execute else 0 }} as id" > "models/m$number.sql"
done

"$folder/venv/bin/python" - <<'PYTHON'
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

seen = Counter()


class Google(BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path == "/token":
            seen["tokens"] += 1
            return {"access_token": f"t{seen['tokens']}", "expires_in": 3600, "token_type": "Bearer"}
        if self.command == "POST" and self.path.split("?")[0].endswith("/jobs"):
            seen["queries"] += 1
            job = json.loads(body)
            table = {"projectId": "nowhere", "datasetId": "d", "tableId": "t"}
            job["configuration"]["query"]["destinationTable"] = table
            statistics = {"query": {"statementType": "SELECT"}, "creationTime": "0", "endTime": "0"}
            return {**job, "status": {"state": "DONE"}, "statistics": statistics}
        schema = {"fields": [{"name": "one", "type": "INTEGER"}]}
        reference = {"projectId": "nowhere", "jobId": self.path.split("?")[0].rsplit("/", 1)[-1], "location": "US"}
        if "/queries/" in self.path:
            rows = [{"f": [{"v": "1"}]}]
            return {"jobComplete": True, "jobReference": reference, "schema": schema, "rows": rows, "totalRows": "1"}
        if "/tables/" in self.path:
            table = {"projectId": "nowhere", "datasetId": "d", "tableId": "t"}
            return {"tableReference": table, "schema": schema, "type": "TABLE"}
        return {}  # datasets and tables: there are none

    def do_GET(self):
        data = json.dumps(self.answer()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"
private = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
key = {
    "type": "service_account",
    "project_id": "nowhere",
    "private_key_id": "1",
    "private_key": private.decode(),
    "client_email": "dbt@nowhere.iam.gserviceaccount.com",
    "token_uri": f"{here}/token",
}
Path("key.json").write_text(json.dumps(key))
target = {"type": "bigquery", "method": "service-account", "keyfile": "key.json", "project": "nowhere"}
target |= {"dataset": "shop", "threads": 1, "api_endpoint": here, "location": "US"}
Path("profiles.yml").write_text(json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))

from dbt.cli.main import dbtRunner
from google.oauth2.service_account import Credentials

began = time.process_time()
for _ in range(10):
    Credentials.from_service_account_file("key.json")
each = (time.process_time() - began) / 10

done = dbtRunner().invoke(["--quiet", "compile"])
assert done.success, done.exception
print("dbt-core", version("dbt-core"), "dbt-bigquery", version("dbt-bigquery"), "google-auth", version("google-auth"))
print(f"to read the key once: {each * 1000:.0f} ms of a processor")
print(f"{seen['queries']} queries of 10 models, and {seen['tokens']} tokens of 3,600 seconds")
assert seen["queries"] >= 10
assert seen["tokens"] >= 10, "dbt keeps its credentials now"
PYTHON
