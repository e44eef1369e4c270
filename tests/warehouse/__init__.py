"""
A local warehouse: BigQuery's API over a real SQL engine, without an account and without network.

Three parts: `emulator` runs local-bigquery (DuckDB) in an interpreter of its own, `engine` puts it behind the job API
of `cosmos_async.testing`, and `front` starts and stops both. `rewrites` holds what the emulator cannot parse, and
`inside` what it takes although BigQuery refuses it.
What differs from BigQuery: locations are always US; bytes and slot time are plausible, not measured; nothing is
enforced for grants and expirations of partitions, and the latter are not shown; the text of a view is kept in normal
form, not as written; geography functions are missing; a project's jobs and grants are forgotten when the process ends,
its tables are not. `docs/fidelity.md` has the whole list.

`python -m tests.warehouse` starts it; the pytest fixture is `tests.warehouse.fixture.warehouse`.
"""
