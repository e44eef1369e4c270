#!/usr/bin/env bash
# dbt-core 1.11.16: after a partial parse, manifest.json names a folder that seeds were in when they were parsed.
#
# A seed is the one node with a `root_path` in manifest.json, the absolute path of its project. Where dbt takes an unchanged
# seed from `partial_parse.msgpack`, it takes this path along. So in a project whose `target` folder was brought from
# somewhere else, as caches of CI do and images that were built in another folder, manifest.json names a folder that may
# be nowhere, without a word; a changed seed, or `--no-partial-parse`, has the right one. Tools that look for a seed's file
# below `root_path` do not find it. dbt itself looks in the project first.
#
# Below, a project of two seeds is parsed, moved, and parsed there again, after one of the seeds was changed.
# Fails if both seeds are told where they are. Needs Python 3.11.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
for name in $(compgen -e | grep '^DBT_' || true); do unset "$name"; done

"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dbt-core==1.11.16 dbt-bigquery==1.12.1

mkdir -p "$folder/before/seeds"
cd "$folder/before"
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
printf 'code\nde\n' > seeds/kept.csv
printf 'code\nde\n' > seeds/changed.csv
"$folder/venv/bin/dbt" --quiet parse

mv "$folder/before" "$folder/after"
cd "$folder/after"
printf 'code\nfr\n' > seeds/changed.csv
"$folder/venv/bin/dbt" --quiet parse

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import pathlib
import sys
from importlib.metadata import version

folder = pathlib.Path(sys.argv[1])
nodes = json.loads((folder / "after/target/manifest.json").read_text())["nodes"]
print("dbt-core", version("dbt-core"), "in", folder / "after")
found = {name: nodes[f"seed.shop.{name}"]["root_path"] for name in ("kept", "changed")}
for name, path in found.items():
    print(f"seed.shop.{name:<8} root_path {path}")
assert found["changed"] == str(folder / "after")
assert found["kept"] == str(folder / "before"), "the path is that of the project now"
assert not (folder / "before").exists()
PYTHON
