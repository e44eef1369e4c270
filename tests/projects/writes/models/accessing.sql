{{ config(materialized='view', grant_access_to=[{'project': 'writes-project', 'dataset': 'raw'}]) }} select 1 as id
