{{ config(
    materialized="incremental", incremental_strategy="microbatch", event_time="at", batch_size="day", lookback=1,
    begin=env_var("REPLANNED_BEGIN"), partition_by={"field": "at", "data_type": "timestamp", "granularity": "day"}
) }}
select current_timestamp() as at, name from {{ ref("codes") }}
