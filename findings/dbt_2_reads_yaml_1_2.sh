#!/usr/bin/env bash
# dbt 1.11.16 and dbt 2.0.0-alpha.4 read other values from the same `vars` of dbt_project.yml: dbt 1 reads YAML 1.1, in which
# NO is false, 00123 is 83 and 12:30 is 750, and dbt 2 reads YAML 1.2, in which these are strings, but 12345e6, a string for
# dbt 1, is a number. Neither says so. The wheel of dbt 2 is the one that ships its program for `--use-v2-parser` of dbt 1.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in one two; do "${PYTHON:-python3}" -m venv "$folder/$name"; done
"$folder/one/bin/python" -m pip install -q --disable-pip-version-check dbt-core==1.11.16 dbt-bigquery==1.12.1
"$folder/two/bin/python" -m pip install -q --disable-pip-version-check dbt-core-experimental-parser==2.0.0a4
mkdir -p "$folder/project/models"
cd "$folder/project"
printf 'name: yaml\nprofile: yaml\nvars: {country: NO, code: 00123, at: 12:30, sha: 12345e6}\n' > dbt_project.yml
printf 'yaml:\n  target: dev\n  outputs:\n    dev: {type: bigquery, method: oauth, project: p, dataset: d}\n' > profiles.yml
echo "{{ config(alias=[var('country'), var('code'), var('at'), var('sha')] | join(' ')) }} select 1 as a" > models/shown.sql
export DBT_PROFILES_DIR=.
shown() {
  "$@" --no-send-anonymous-usage-stats ls --quiet --output json --output-keys alias
}
one=$(shown "$folder/one/bin/dbt")
two=$(shown "$folder/two/bin/dbt-core-experimental-parser")
echo "dbt 1.11.16: $one"
echo "dbt 2.0.0-alpha.4: $two"
[ "$one" = '{"alias": "False 83 750 12345e6"}' ] && [ "$two" = '{"alias":"NO 00123 12:30 12345000000.0"}' ] ||
  { echo "the behaviour has changed"; exit 1; }
