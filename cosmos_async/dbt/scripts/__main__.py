"""
The entry of every script for dbt's own interpreter: ``<dbt's python> <this folder> SCRIPT ARGUMENTS...``.

The folder is loaded as a package under a name of its own: that interpreter may have another version of ours, and a module
of the user's must not meet one of these under its name.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAME = "cosmos_async_scripts"


def load(script: str) -> Any:
    """Return the module *script* of this folder, which is not on ``sys.path`` from then on."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != FOLDER]
    spec = importlib.util.spec_from_file_location(
        NAME, os.path.join(FOLDER, "__init__.py"), submodule_search_locations=[FOLDER]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)
    return importlib.import_module(f"{NAME}.{script}")


if __name__ == "__main__":
    load(sys.argv[1]).main(sys.argv[2:])
