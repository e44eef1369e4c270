"""
Drives the stand-in with Google's own client, as dbt does; runs in dbt's interpreter.

Usage: google_client.py ENDPOINT KEY_FILE; prints what it found as one JSON object.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, NotFound
from google.cloud import bigquery
from google.oauth2 import service_account

SCOPES = ["https://www.googleapis.com/auth/bigquery"]


def main(endpoint: str, key_file: str) -> dict[str, Any]:
    """Call what dbt-bigquery calls."""
    credentials = service_account.Credentials.from_service_account_file(key_file, scopes=SCOPES)
    client = bigquery.Client(
        project="p", credentials=credentials, client_options=ClientOptions(api_endpoint=endpoint)
    )
    found: dict[str, Any] = {}

    client.create_dataset("marts")
    try:
        client.create_dataset("marts")
    except Conflict as error:
        found["dataset_twice"] = error.errors[0]["reason"]

    made = client.query("create table marts.t as select 1", job_id="made", job_retry=None)
    made.result()
    found["ctas"] = [made.statement_type, str(made.destination), client.get_table(made.destination).num_rows]
    try:
        client.query("select 2", job_id="made", job_retry=None)
    except Conflict as error:
        found["job_twice"] = error.errors[0]["message"]

    found["rows"] = [tuple(row) for row in client.query("select id, name from users").result(page_size=1)]
    found["moment"] = [str(row[0]) for row in client.query("select moment").result()]
    short_way = client.query("select id, name from users", api_method="QUERY")
    found["short_way"] = [tuple(row) for row in short_way.result()]
    dry = client.query("select id, name from users", job_config=bigquery.QueryJobConfig(dry_run=True))
    found["dry_run"] = [field.name for field in dry.schema]
    try:
        client.query("select broken").result()
    except BadRequest as error:
        found["broken"] = error.errors

    schema = [bigquery.SchemaField("a", "INTEGER"), bigquery.SchemaField("b", "STRING")]
    config = bigquery.LoadJobConfig(schema=schema, skip_leading_rows=1, write_disposition="WRITE_TRUNCATE")
    for size in (None, 12):  # in pieces, and as one multipart body
        seed = io.BytesIO(b"a,b\n1,x\n2,y\n")
        load = client.load_table_from_file(seed, "p.marts.seed", job_config=config, size=size)
        load.result()
        found.setdefault("loaded", []).append(load.output_rows)
    client.copy_table("p.marts.seed", "p.marts.copied").result()
    found["copied"] = [tuple(row) for row in client.list_rows("p.marts.copied")]

    table = client.get_table("p.marts.copied")
    table.description = "new"
    found["described"] = client.update_table(table, ["description"]).description
    found["tables"] = [entry.table_id for entry in client.list_tables("marts")]
    client.delete_table("p.marts.copied")
    try:
        client.get_table("p.marts.copied")
    except NotFound as error:
        found["missing"] = error.errors[0]["reason"]

    held = client.query("select held")
    held.cancel()
    try:
        held.result()
    except GoogleAPICallError as error:
        found["cancelled"] = error.errors[0]["reason"]
    client.delete_dataset("marts", delete_contents=True)
    client.close()
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
