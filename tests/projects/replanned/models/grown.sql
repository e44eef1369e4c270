{{ config(materialized="incremental", unique_key="day", on_schema_change="append_new_columns") }}
select * from {{ ref("plain") }}
