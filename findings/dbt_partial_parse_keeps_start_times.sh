#!/usr/bin/env bash
# dbt-core 1.11.16: after a partial parse, manifest.json says when another invocation began.
#
# `metadata` of manifest.json has `invocation_id`, `generated_at`, `invocation_started_at` and `run_started_at`. Where dbt
# takes the project from `partial_parse.msgpack`, it renews the first two and keeps the last two as they were when the
# project was parsed (`ManifestLoader.read_manifest_for_partial_parse`), be it days ago. So whoever takes the start of an
# invocation from its manifest gets an earlier one's; run_results.json of the same invocation has the right time. The
# same field changes its form, too: it ends with `Z` after a full parse and with `+00:00` after a partial one.
#
# Below, a project of one model is parsed twice, and nothing is changed in between; no warehouse is asked.
# Fails if the two times of the second manifest are its own. Needs Python 3.11.
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
cat > profiles.yml <<'YAML'
shop:
  target: dev
  outputs:
    dev: {type: bigquery, method: oauth, project: nowhere, dataset: shop}
YAML
echo "select 1 as id" > models/orders.sql

for time in first second; do
    "$folder/venv/bin/dbt" --quiet parse
    cp target/manifest.json "$folder/$time.json"
    sleep 1
done

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import pathlib
import sys
from datetime import datetime
from importlib.metadata import version

first, second = (
    json.loads(pathlib.Path(sys.argv[1], name).read_text())["metadata"] for name in ("first.json", "second.json")
)
print("dbt-core", version("dbt-core"))
for name in ("invocation_id", "generated_at", "invocation_started_at", "run_started_at"):
    print(f"{name:<22} {first[name]}  {second[name]}")


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


assert first["invocation_id"] != second["invocation_id"]
assert first["generated_at"] != second["generated_at"]
for name in ("invocation_started_at", "run_started_at"):
    assert at(first[name]) == at(second[name]), f"{name} is the invocation's own now"
assert first["invocation_started_at"].endswith("Z")
assert second["invocation_started_at"].endswith("+00:00")
PYTHON
