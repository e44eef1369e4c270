"""From what dbt was recorded to do to the plan of a run, or of some of its nodes."""
