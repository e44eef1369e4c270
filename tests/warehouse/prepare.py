"""
Completes the warehouse's environment; run it once with that environment's own interpreter.

    <venv>/bin/pip install -r tests/env/warehouse.txt
    <venv>/bin/python tests/warehouse/prepare.py

local-bigquery declares Python 3.13, so the installers refuse it on 3.11: it is installed without that check (and
without its dependencies, which warehouse.txt names). DuckDB's extensions come from PyPI too; they are copied into the
environment, so that DuckDB never asks its own server and nothing outside the environment is touched.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

EMULATOR = "local-bigquery==0.4.0"
EXTENSIONS = ("icu", "ducklake")


def extension_directory() -> Path:
    """Where this environment's DuckDB extensions lie."""
    return Path(sys.prefix) / "duckdb-extensions"


def main() -> None:
    """Install what is missing; quick when nothing is."""
    install_emulator()
    install_extensions()


def install_emulator() -> None:
    """Install local-bigquery into this interpreter's environment."""
    name, _, version = EMULATOR.partition("==")
    try:
        if importlib.metadata.version(name) == version:
            return
    except importlib.metadata.PackageNotFoundError:
        pass
    options = ["--no-deps", "--ignore-requires-python", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, EMULATOR], check=True)


def install_extensions() -> None:
    """Copy DuckDB's extensions from their wheels to where DuckDB looks for them."""
    import duckdb

    packages = Path(duckdb.__file__).parent.parent
    directory = extension_directory()
    directory.mkdir(exist_ok=True)
    connection = duckdb.connect(config={"extension_directory": str(directory)})
    for extension in EXTENSIONS:
        wheel = packages / f"duckdb_extension_{extension}" / "extensions"
        (source,) = wheel.glob(f"*/{extension}.duckdb_extension")
        connection.execute(f"INSTALL '{source}'")
        connection.execute(f"LOAD {extension}")
    connection.close()


if __name__ == "__main__":
    main()
