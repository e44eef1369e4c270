"""Where this package meets Airflow: its versions under one set of names, the plugin, the provider, the link to a job."""
