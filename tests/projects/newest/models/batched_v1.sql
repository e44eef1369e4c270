{% set begin = (modules.datetime.datetime.now(modules.pytz.utc) - modules.datetime.timedelta(days=2)).date().isoformat() %}
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='recent_day', begin=begin, batch_size='day',
          lookback=1, partition_by={'field': 'recent_day', 'data_type': 'date', 'granularity': 'day'}) }}
select id, current_date() as recent_day from {{ ref('orders') }}
