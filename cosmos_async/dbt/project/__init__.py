"""The user's dbt project on disk: what it says of itself, and the working copy that dbt runs in."""
