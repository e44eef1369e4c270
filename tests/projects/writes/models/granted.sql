{{ config(grants={'roles/bigquery.dataViewer': ['user:a@example.com']}) }} select 1 as id
