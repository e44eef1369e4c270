"""The run's folder, in Cloud Storage or on a local disk, and what lies in it: plans and outcomes."""
