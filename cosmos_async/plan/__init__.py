"""What setup, triggers and workers share: the plan of a run, its outcomes, its names, and dbt's rules about them. Pure."""
