"""
What every version's story has in common.
"""

from __future__ import annotations

DAG_ID = "matrix"
PATIENCE = 900  # seconds for a run; a busy machine is slow
#: It takes its time for `dbt ls`, too.
PATIENT = {
    "AIRFLOW__COSMOS_ASYNC__REUSE_PLANS": "True",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "700",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "700",
}
