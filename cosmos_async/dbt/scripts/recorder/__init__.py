"""
Run the user's dbt once and write down what it would do to BigQuery, without doing it.

Started as ``<dbt's python> <the scripts' folder> recorder.main --out RECORDING.json -- <dbt's arguments>``. It runs in dbt's own interpreter,
which may know nothing of cosmos-async, so it imports dbt, google.cloud.bigquery and the standard library only.

Every effect dbt has on BigQuery passes through the HTTP session of a ``google.cloud.bigquery.Client``. Reads go through
and are written down with their answers. Writes are written down and answered as if they had been done. What is not
known is not sent, and its node is left to real dbt. The planner (:mod:`cosmos_async.dbt.planner.planner`) makes a plan of it.
"""
