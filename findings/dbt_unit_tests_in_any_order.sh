#!/usr/bin/env bash
# dbt-core 1.11.16: which of a model's failing unit tests is run, and which is skipped, is chance.
#
# `dbt build` runs the unit tests of a model one after the other, before the model, and skips the rest once one has
# failed. It keeps the selected unit tests in a set of strings (`BuildTask.selected_unit_tests`), so their order is that of
# Python's hashes, which are salted anew in each process. Of two unit tests that fail, run_results.json tells of one
# `fail` and one `skipped`, and the next build of the same project may tell it the other way round.
#
# Below, one model with two unit tests that both fail is built under several values of PYTHONHASHSEED, by DuckDB.
# Fails if it is the same one each time. Needs Python 3.11.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
for name in $(compgen -e | grep '^DBT_' || true); do unset "$name"; done

"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dbt-core==1.11.16 dbt-duckdb==1.10.0

mkdir -p "$folder/project/models"
cd "$folder/project"
cat > dbt_project.yml <<'YAML'
name: shop
version: "1.0"
profile: shop
flags: {send_anonymous_usage_stats: false}
YAML
cat > profiles.yml <<'YAML'
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb}
YAML
echo "select 1 as id" > models/orders.sql
cat > models/schema.yml <<'YAML'
unit_tests:
  - {name: one, model: orders, given: [], expect: {rows: [{id: 2}]}}
  - {name: other, model: orders, given: [], expect: {rows: [{id: 3}]}}
YAML

"$folder/venv/bin/python" - "$folder/venv/bin/dbt" <<'PYTHON'
import json
import os
import pathlib
import subprocess
import sys
from importlib.metadata import version

print("dbt-core", version("dbt-core"))
failed = set()
for seed in range(8):
    env = {**os.environ, "PYTHONHASHSEED": str(seed)}
    subprocess.run([sys.argv[1], "--quiet", "build"], env=env, stdout=subprocess.DEVNULL, check=False)
    results = json.loads(pathlib.Path("target/run_results.json").read_text())["results"]
    states = {each["unique_id"].split(".")[-1]: each["status"] for each in results}
    print(f"PYTHONHASHSEED={seed}  {states}")
    failed.update(name for name in ("one", "other") if states[name] == "fail")
    assert sorted(states[name] for name in ("one", "other")) == ["fail", "skipped"]
    if len(failed) == 2:
        break
assert failed == {"one", "other"}, f"always {failed}"
PYTHON
