"""BigQuery jobs: submit each once, wait for many with few requests, bound them, cancel them."""
