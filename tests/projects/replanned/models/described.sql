{{ config(materialized="view", persist_docs={"relation": true}) }} select * from {{ ref("codes") }}
