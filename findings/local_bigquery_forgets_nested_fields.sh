#!/usr/bin/env bash
# local-bigquery 0.4.0: tables.patch with a schema in which a record has a new field answers 200, as BigQuery does, and
# forgets the field; a changed type, which BigQuery refuses ("Field id has changed type from INTEGER to STRING"), is
# answered with 200, too. Tests of schema changes against the emulator therefore pass without having changed anything.
# It needs Python 3.13. DuckDB's extensions are taken from PyPI, as the emulator would download them.
PYTHON=${PYTHON:-python3.13}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check duckdb==1.5.5 duckdb-extension-ducklake==1.5.5 duckdb-extension-icu==1.5.5 \
    fastapi==0.165.0 fastavro==1.13.1 mini-racer==0.14.1 numpy==2.4.6 opentelemetry-api==1.45.2 pyarrow==26.0.1 \
    pydantic-settings==2.16.3 pytz==2026.6 sqlglot==30.30.0 uvicorn==0.54.0
# Its own bound on duckdb (2.0.0 or newer) has no extensions on PyPI yet.
"$python" -m pip install -q --disable-pip-version-check --no-deps local-bigquery==0.4.0
FOLDER=$folder "$python" - <<'PYTHON'
import functools
import importlib.metadata
import os
from pathlib import Path

import duckdb

folder = Path(os.environ["FOLDER"])
local = {"extension_directory": str(folder / "extensions"), "autoinstall_known_extensions": "false"}
connection = duckdb.connect(config=local)
for name in ("icu", "ducklake"):
    (file,) = Path(duckdb.__file__).parent.parent.glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    connection.execute(f"INSTALL '{file}'")
connection.close()
connect = duckdb.connect


@functools.wraps(connect)
def offline(database=":memory:", read_only=False, config=None):
    return connect(database, read_only, {**local, **(config or {})})


duckdb.connect = offline

from local_bigquery.engine import database
from local_bigquery.settings import settings

settings.data_dir = folder / "data"
# The geography functions need an extension of their own, which plays no part here.
database.FUNCTIONS = [path for path in database.FUNCTIONS if path.name != "geography.sql"]

from local_bigquery.catalog import datasets, tables
from local_bigquery.models import Dataset, Table

project = settings.default_project_id
datasets.create(project, Dataset.model_validate({"datasetReference": {"projectId": project, "datasetId": "d"}}))
person = {"name": "person", "type": "RECORD", "fields": [{"name": "name", "type": "STRING"}]}
fields = [{"name": "id", "type": "INTEGER"}, person]
body = {"tableReference": {"projectId": project, "datasetId": "d", "tableId": "t"}, "schema": {"fields": fields}}
tables.create(project, "d", Table.model_validate(body), None)

grown = {**person, "fields": [*person["fields"], {"name": "age", "type": "INTEGER"}]}
retyped = {"name": "id", "type": "STRING"}
patch = Table.model_validate({"schema": {"fields": [retyped, grown]}})
answer = tables.update(project, "d", "t", patch, None, False)

found = answer.schema_.fields
print(f"local-bigquery {importlib.metadata.version('local-bigquery')}, duckdb {duckdb.__version__}")
print(f"patched id to STRING and added person.age; answered {[(f.name, f.type) for f in found]}, "
      f"person has {[f.name for f in found[1].fields]}")
assert found[0].type == "INTEGER" and [f.name for f in found[1].fields] == ["name"], "the behaviour has changed"
PYTHON
