#!/usr/bin/env bash
# sqlglot 30.30.0: an ALTER TABLE that adds and drops columns in one statement is valid in BigQuery, and dbt-bigquery
# writes it for on_schema_change sync_all_columns. It is not parsed but kept as an opaque Command, although two
# additions, or two drops, are: lineage, linters and emulators built on sqlglot see neither table nor columns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check sqlglot==30.30.0
"$python" - <<'PYTHON'
import logging
import importlib.metadata

import sqlglot
from sqlglot import exp

logging.disable(logging.WARNING)
print(f"sqlglot {importlib.metadata.version('sqlglot')}")
found = {}
for actions in ("add column a int64, add column b int64", "drop column a, drop column b", "add column a int64, drop column b"):
    tree = sqlglot.parse_one(f"alter table d.t {actions}", dialect="bigquery")
    found[actions] = type(tree)
    print(f"{actions}: {type(tree).__name__}, tables {[table.sql() for table in tree.find_all(exp.Table)]}")
assert list(found.values()) == [exp.Alter, exp.Alter, exp.Command], "the behaviour has changed"
PYTHON
