"""The command line: what a run would do, for a person at a terminal. It knows nothing of Airflow."""
