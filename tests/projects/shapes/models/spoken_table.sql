{{ config(materialized='table', alias='Über-Tabelle 2') }}
select id, name from {{ ref('spoken') }}
