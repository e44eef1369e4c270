#!/usr/bin/env bash
# dbt Core 2.0.0-alpha.4: models that are symbolic links, or lie in a folder that is one, are left out in silence, unless
# it is the very folder that `model-paths` names; dbt 1 reads them all. The wheel is the one that ships dbt 2's program
# for `--use-v2-parser` of dbt 1.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check dbt-core-experimental-parser==2.0.0a4
dbt=$folder/venv/bin/dbt-core-experimental-parser
"$dbt" --version
mkdir -p "$folder/project/models" "$folder/elsewhere/models" "$folder/elsewhere/named"
cd "$folder/project"
printf 'name: links\nprofile: links\nmodel-paths: [models, named]\n' > dbt_project.yml
printf 'links:\n  target: dev\n  outputs:\n    dev: {type: bigquery, method: oauth, project: p, dataset: d}\n' > profiles.yml
echo "select 1 as a" > models/a_file.sql
echo "select 2 as a" > "$folder/elsewhere/linked_file.sql"
echo "select 3 as a" > "$folder/elsewhere/models/in_a_linked_folder.sql"
echo "select 4 as a" > "$folder/elsewhere/named/in_a_named_folder.sql"
ln -s "$folder/elsewhere/named" named
ln -s "$folder/elsewhere/linked_file.sql" models/linked_file.sql
ln -s "$folder/elsewhere/models" models/linked_folder
listed=$(DBT_PROFILES_DIR=. "$dbt" --no-send-anonymous-usage-stats ls --quiet --output name)
echo "listed: ${listed//$'\n'/, }"
[ "$listed" = $'a_file\nin_a_named_folder' ] || { echo "the behaviour has changed"; exit 1; }
