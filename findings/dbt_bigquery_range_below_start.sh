#!/usr/bin/env bash
# dbt-bigquery 1.12.1: incremental_strategy insert_overwrite on a table that is partitioned by a range of numbers finds
# the partitions to replace by (id - MOD(id - start, interval)). BigQuery's MOD has the sign of its first argument, so a
# number just below the first range is rounded UP into it. One new row with id -1, which lies in the partition of all
# that is outside (__UNPARTITIONED__), makes dbt delete the rows 0 to 9 that the run does not bring back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-bigquery==1.12.1
"$python" - <<'PYTHON'
import importlib.metadata
import math
import re

from dbt.adapters.bigquery.relation_configs import PartitionConfig

config = PartitionConfig.parse(
    {"field": "id", "data_type": "int64", "range": {"start": 0, "end": 100, "interval": 10}}
)
expression = config.render_wrapped()
print(f"dbt-bigquery {importlib.metadata.version('dbt-bigquery')} names a row's partition by {expression}")


def mod(x: int, y: int) -> int:
    """BigQuery's: the sign is that of the first argument."""
    return int(math.fmod(x, y))


def partition(number: int) -> int:
    """What dbt's expression gives for *number*."""
    python = re.sub(r"\bid\b", str(number), expression).replace("MOD", "mod")
    return eval(python)


for number in (-11, -1, 0, 9, 10):
    print(f"id {number:3}: partition {partition(number)}")
assert partition(9) == 0 and partition(10) == 10
assert partition(-1) == partition(0) == 0, "the behaviour has changed"
PYTHON
