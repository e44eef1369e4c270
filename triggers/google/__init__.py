"""Google's REST APIs for asyncio: sessions, tokens, retries, errors, BigQuery."""
