"""
A local warehouse: BigQuery's API over a real SQL engine, without an account and without network.

Three parts: `emulator` runs local-bigquery (DuckDB) in an interpreter of its own, `engine` puts it behind the job API
of `cosmos_async.testing`, and `front` starts and stops both. `rewrites` holds what the emulator cannot parse.
`python -m tests.warehouse` starts it; the pytest fixture is `tests.warehouse.fixture.warehouse`.
"""
