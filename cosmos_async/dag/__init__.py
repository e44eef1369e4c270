"""``DbtDag`` and ``DbtTaskGroup``: from a graph to Airflow tasks, groups and edges, while a DAG file is parsed."""
