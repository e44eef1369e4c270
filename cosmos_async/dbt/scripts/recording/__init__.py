"""
The core of recording: what answers, foretells and writes down dbt's requests to BigQuery. It knows no dbt.

A request is a method, a path and a body. Who asks, and what for, a front end says (:mod:`.node_context`, and
:meth:`.journal.Journal.while_doing`): ``recorder`` within dbt 1's own process, ``cosmos_async.dbt.endpoint`` for dbt 2.
It imports the standard library and requests only, as it runs in the interpreters of both.
"""
