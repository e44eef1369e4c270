#!/usr/bin/env bash
# dbt-core 1.12.6: variables come from a file `.env` in any folder above the one that dbt is run in, and win over the environment.
#
# Since 1.12 dbt reads `.env` when it starts: "Load .env from current working directory", and "shell env vars take
# precedence over .env values" (dbt/cli/main.py). python-dotenv's `find_dotenv(usecwd=True)` goes on to the folder above,
# and so on, up to the root of the file system, so a project gets what lies above it. And an option has two names, of which
# DBT_ENGINE_... is preferred: where the environment sets DBT_TARGET_PATH and the file DBT_ENGINE_TARGET_PATH, the file wins.
#
# Below, a project of one model is parsed two folders below such a file; no warehouse is asked.
# Fails if dbt does not read the file, or if the environment wins. Needs Python 3.11.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
for name in $(compgen -e | grep '^DBT_' || true); do unset "$name"; done

"${PYTHON:-python3.11}" -m venv "$folder/venv"
# Without dbt-core-experimental-parser, which is built by downloading a program and which nothing here needs.
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps \
    agate==1.9.1 annotated-types==0.8.0 attrs==26.1.0 babel==2.19.0 certifi==2026.10.19.post1 \
    charset-normalizer==3.5.3 click==8.5.1 colorama==0.4.6 daff==1.4.2 dbt-adapters==1.24.5 dbt-common==1.39.0 \
    dbt-core==1.12.6 dbt-duckdb==1.10.0 dbt-extractor==0.6.0 dbt-protos==1.0.615 deepdiff==8.6.2 duckdb==2.0.1 \
    idna==3.20 importlib-metadata==10.2.0 isodate==0.7.2 jinja2==3.1.6 jsonschema==4.26.0 \
    jsonschema-specifications==2025.9.1 lazy-importer==0.1.0 leather==0.4.1 markupsafe==3.0.4 mashumaro==3.17 \
    metricflow==0.213.0 more-itertools==10.8.0 msgpack==1.2.4 networkx==3.6.1 opentelemetry-api==1.45.2 \
    orderly-set==5.5.0 packaging==26.4 parsedatetime==2.6 pathspec==1.0.4 protobuf==6.33.6 pydantic==2.14.4 \
    pydantic-core==2.50.5 python-dateutil==2.9.0.post0 python-dotenv==1.2.4 python-slugify==9.2.0 \
    pytimeparse==1.1.10 pytz==2026.6 pyyaml==6.0.4 rapidfuzz==3.14.6 referencing==0.37.0 requests==2.34.2 \
    rpds-py==2026.9.1 six==1.17.0 snowplow-tracker==1.1.0 sqlglot==30.30.0 sqlparse==0.6.1 tabulate==0.10.0 \
    text-unidecode==1.3 typing-extensions==4.16.0 typing-inspection==0.4.5 urllib3==2.8.0 zipp==4.1.2

printf 'DAY=3\nDBT_ENGINE_TARGET_PATH=of_the_file\n' > "$folder/.env"
mkdir -p "$folder/of_a_job/project/models"
cd "$folder/of_a_job/project"
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
echo "{{ config(alias='orders_' ~ env_var('DAY')) }} select 1 as id" > models/orders.sql

DBT_TARGET_PATH=of_the_environment "$folder/venv/bin/dbt" --quiet parse

"$folder/venv/bin/python" - <<'PYTHON'
import json
import pathlib
from importlib.metadata import version

print("dbt-core", version("dbt-core"), " python-dotenv", version("python-dotenv"))
(path,) = pathlib.Path().glob("*/manifest.json")
alias = json.loads(path.read_text())["nodes"]["model.shop.orders"]["alias"]
print(f"two folders below .env, with DBT_TARGET_PATH=of_the_environment: {path}, alias {alias}")
assert alias == "orders_3", "the file was not read"
assert path.parent.name == "of_the_file", "the environment won"
PYTHON
