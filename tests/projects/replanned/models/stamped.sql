{# While it is parsed it uses nothing of the day, so even a run that parses leaves a plan for the next one. #}
select '{% if execute %}{{ run_started_at.strftime('%Y-%m-%d') }}{% endif %}' as started_on
