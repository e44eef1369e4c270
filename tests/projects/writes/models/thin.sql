{{ config(materialized='ephemeral') }}
select {{ first_column("select distinct kind from " ~ source('raw', 'events')) | length }} as kinds
