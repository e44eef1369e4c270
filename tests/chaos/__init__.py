"""
Breaking a real Airflow on purpose: two triggerers on PostgreSQL, the fast stand-in behind them, and a monkey.

`make chaos` runs it. Every seed is one run of a generated project during which triggerers are killed, the database is
restarted, replies are lost and tasks are stopped; afterwards everything is compared: what Airflow says, what BigQuery
did, what lies in the store.
"""
