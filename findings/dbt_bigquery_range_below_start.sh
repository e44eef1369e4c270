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
# What dbt-bigquery imports, without what it does not need here: a resolver would take minutes.
"$python" -m pip install -q --disable-pip-version-check --no-deps \
    attrs==26.1.0 certifi==2026.10.19.post1 cffi==2.1.1 charset-normalizer==3.5.3 colorama==0.4.6 \
    cryptography==50.0.2 db-dtypes==1.9.0 dbt-adapters==1.24.5 dbt-bigquery==1.12.1 dbt-common==1.39.0 \
    dbt-core==1.11.16 dbt-protos==1.0.615 dbt-semantic-interfaces==0.9.0 google-api-core==2.44.0 \
    google-auth==2.63.0 google-cloud-bigquery==3.47.0 google-cloud-core==2.8.0 google-cloud-dataproc==5.32.0 \
    google-cloud-storage==3.1.1 google-resumable-media==2.11.0 googleapis-common-protos==1.76.0 \
    grpc-google-iam-v1==0.14.6 grpcio-status==1.85.3 grpcio==1.85.3 idna==3.20 Jinja2==3.1.6 \
    jsonschema-specifications==2025.9.1 jsonschema==4.26.0 MarkupSafe==3.0.4 mashumaro==3.14 msgpack==1.2.4 \
    numpy==2.4.6 opentelemetry-api==1.45.2 packaging==26.4 pandas-gbq==0.35.3 pandas==3.1.1 pathspec==0.12.1 \
    proto-plus==1.29.0 protobuf==6.33.6 psutil==7.2.2 pyarrow==26.0.1 pydantic==2.14.4 pydantic_core==2.50.5 \
    python-dateutil==2.9.0.post0 pytz==2026.6 PyYAML==6.0.4 referencing==0.37.0 requests==2.34.2 \
    rpds-py==2026.9.1 setuptools==84.2.1 six==1.17.0 typing-inspection==0.4.5 typing_extensions==4.16.0 \
    urllib3==2.8.0
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
