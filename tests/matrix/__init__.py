"""
The same story on every supported Airflow, with real processes: ``make matrix``.
"""
