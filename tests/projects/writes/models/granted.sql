{{ config(grants={'roles/bigquery.dataViewer': ['user:a@example.com', 'user:d@example.com', 'group:e@example.com']}) }} select 1 as id
