"""
DAGs that Airflow starts when the corner project has built something: by the table's own name, and by its task's alias.
"""

from __future__ import annotations

from datetime import datetime

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Asset, AssetAlias

    TOTALS = "bigquery://shop-project/corner/totals"
except ImportError:  # removable when Airflow 2.11 is dropped
    from airflow.datasets import Dataset as Asset
    from airflow.datasets import DatasetAlias as AssetAlias
    from airflow.models.dag import DAG
    from airflow.operators.empty import EmptyOperator

    TOTALS = "bigquery://shop-project.corner.totals"

SCHEDULES = {"behind_totals": Asset(TOTALS), "behind_beside": AssetAlias("corner__beside_run")}

for dag_id, asset in SCHEDULES.items():
    with DAG(dag_id, schedule=[asset], start_date=datetime(2026, 1, 1), catchup=False) as dag:
        EmptyOperator(task_id="begin")
    globals()[dag_id] = dag
