"""From a graph to Airflow tasks, task groups and their edges, while a DAG file is parsed."""
