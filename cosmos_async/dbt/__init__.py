"""How the user's dbt is run: found, given a working copy, started, listened to. Everything here runs on workers."""
