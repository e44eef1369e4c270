{{ config(materialized='table') }}
select {{ function('halved') }}(1.0) as half, {{ function('added') }}('text') as more
