select '{{ modules.datetime.date.today() }}' as day
