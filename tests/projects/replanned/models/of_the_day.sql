select '{% if execute %}{{ modules.datetime.date.today() }}{% endif %}' as day
