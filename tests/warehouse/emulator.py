"""
Runs local-bigquery on a loopback port; executed by the warehouse environment's interpreter, imported by nothing.

What it changes about local-bigquery, and why:

- Two of its modules use Python 3.12 syntax. They are rewritten while they are imported; the files stay as installed.
  A text that is not found where it should be stops the start: another version needs another look.
- DuckDB's extensions are taken from the environment (see `prepare`) and never downloaded. The geography functions
  need a 78 MB extension more and are left out.
- Its gRPC server for the Storage API is only started with a certificate, on the port "storage"; dbt 2 reads by it.
- The number of a table's rows leaves out deleted ones; as shipped it is DuckDB's estimate, which counts them.
- What it takes and BigQuery refuses, or does otherwise, is put right by the modules in `inside`.

Prints one line of JSON, {"port": …, "storage": …}, when it answers, and ends with the process that started it.
"""

from __future__ import annotations

import argparse
import functools
import importlib.machinery
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

PYTHON_311 = {
    "local_bigquery.catalog.metadata": {
        "def list_[R: Resource](model: type[R], *keys: str) -> list[R]:": "def list_(model, *keys):",
        "def load[R: Resource](model: type[R], *keys: str) -> R | None:": "def load(model, *keys):",
        "def save[R: Resource](resource: R, *keys: str) -> R:": "def save(resource, *keys):",
    },
    "local_bigquery.engine.results": {
        # A quote of the f-string's own kind within its braces.
        """f"THEN error('{message.replace("'", "''")}') ELSE {expression} END\"""": (
            """f'''THEN error('{message.replace("'", "''")}') ELSE {expression} END'''"""
        ),
    },
}
STORAGE_THREADS = 16
WITHOUT = ("geography.sql",)
#: The tables and views of a dataset and the rows of each, from DuckLake's own records.
RELATIONS = """
    SELECT t.table_name, 'TABLE', CAST(
        (SELECT coalesce(sum(record_count), 0) FROM {lake}.ducklake_data_file AS f
            WHERE f.table_id = t.table_id AND f.end_snapshot IS NULL)
        - (SELECT coalesce(sum(delete_count), 0) FROM {lake}.ducklake_delete_file AS f
            WHERE f.table_id = t.table_id AND f.end_snapshot IS NULL) AS BIGINT)
    FROM {lake}.ducklake_table AS t JOIN {lake}.ducklake_schema AS s USING (schema_id)
    WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
        AND s.schema_name = $1 AND t.table_name = coalesce($2, t.table_name)
    UNION ALL
    SELECT v.view_name, 'VIEW', 0
    FROM {lake}.ducklake_view AS v JOIN {lake}.ducklake_schema AS s USING (schema_id)
    WHERE v.end_snapshot IS NULL AND s.end_snapshot IS NULL
        AND s.schema_name = $1 AND v.view_name = coalesce($2, v.view_name)
    ORDER BY 1
"""


class Rewriter(importlib.machinery.SourceFileLoader):
    """Loads a module whose text is brought to Python 3.11 first."""

    def get_code(self, fullname: str) -> Any:
        """Compile the rewritten text, past the cache of byte code."""
        text = Path(self.path).read_text(encoding="utf-8")
        for old, new in PYTHON_311[fullname].items():
            if text.count(old) != 1:
                raise ImportError(f"{fullname} is not the text this start script knows: no {old!r}")
            text = text.replace(old, new)
        return compile(text, self.path, "exec")


class Finder(MetaPathFinder):
    """Sends the modules of `PYTHON_311` to the `Rewriter`."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Find a module as usual, but load the known ones differently."""
        if fullname not in PYTHON_311:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = Rewriter(fullname, spec.origin)
        return spec


def end_with_parent(parent: int) -> None:
    """End this process within a second of *parent*'s death; a killed front cannot stop us itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def load_application(data_dir: Path, project: str, extensions: Path) -> Any:
    """Import local-bigquery, configured, with its database open."""
    import duckdb

    connect = duckdb.connect

    @functools.wraps(connect)
    def offline(database: str = ":memory:", read_only: bool = False, config: Any = None) -> Any:
        local = {"extension_directory": str(extensions), "autoinstall_known_extensions": "false"}
        return connect(database, read_only, {**local, **(config or {})})

    duckdb.connect = offline
    sys.meta_path.insert(0, Finder())

    from inside import mend
    from local_bigquery.engine import database
    from local_bigquery.settings import settings

    settings.data_dir = data_dir
    settings.default_project_id = project
    database.objects = counted(database)
    mend()
    database.FUNCTIONS = [path for path in database.FUNCTIONS if path.name not in WITHOUT]
    database.connection()

    from local_bigquery import app

    return app


def counted(database: Any) -> Callable[..., list[tuple[str, str, int]]]:
    """Return a replacement for `database.objects` that counts rows exactly."""
    estimated = database.objects

    def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> list[tuple[str, str, int]]:
        if project_id not in database._attached:
            # Its own records, or a project without data: no lake.
            found: list[tuple[str, str, int]] = estimated(project_id, dataset_id, table_id)
            return found
        lake = database.quote(f"__ducklake_metadata_{project_id}")
        rows: list[tuple[str, str, int]] = database.fetch(RELATIONS.format(lake=lake), [dataset_id, table_id])
        return rows

    return objects


def serve_storage(certificates: Path) -> tuple[Any, int]:
    """Start the Storage API with the certificate in *certificates*; return the server, to be kept, and its port."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from local_bigquery.grpc import read

    created = read.create_session

    def create_session(request: Any) -> Any:
        session = created(request)
        # Apache's driver gives the columns only of a result that has rows.
        session.estimated_row_count = max(1, session.estimated_row_count)
        return session

    read.create_session = create_session
    from local_bigquery.grpc.server import SERVICES

    key, certificate = ((certificates / name).read_bytes() for name in ("key.pem", "certificate.pem"))
    server = grpc.server(ThreadPoolExecutor(max_workers=STORAGE_THREADS))
    handlers = [grpc.method_handlers_generic_handler(name, calls) for name, calls in SERVICES.items()]
    server.add_generic_rpc_handlers(handlers)
    port: int = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    return server, port


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--project", required=True, help="the project that exists from the start")
    parser.add_argument("--parent", type=int, required=True, help="the process to end with")
    parser.add_argument("--certificates", type=Path, help="the folder of key.pem and certificate.pem")
    arguments = parser.parse_args()
    end_with_parent(arguments.parent)

    import uvicorn

    extensions = Path(sys.prefix) / "duckdb-extensions"
    app = load_application(arguments.data_dir, arguments.project, extensions)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    _server, storage = serve_storage(arguments.certificates) if arguments.certificates else (None, None)
    print(json.dumps({"port": listener.getsockname()[1], "storage": storage}), flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
