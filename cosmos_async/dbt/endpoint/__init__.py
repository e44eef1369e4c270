"""
The front end of the recorder for dbt 2, which has no Python: it sends its requests to a server on this machine.

What answers them is the core that dbt 1's recorder has as well (:mod:`cosmos_async.dbt.scripts.recording`).
"""
