"""The recorder's entry: leave this folder's names to nobody, then run."""

import importlib.util
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAME = "cosmos_async_recorder"  # not our package's: dbt's interpreter may have another version of that


def _load(name: str, path: str, folder: "str | None" = None) -> None:
    inside = None if folder is None else [folder]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def load() -> None:
    """Load the recorder under a name of its own, with what it shares with others that run inside dbt."""
    # A module of the user's must not meet ours under its name.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != FOLDER]
    _load(NAME, os.path.join(FOLDER, "__init__.py"), FOLDER)
    for shared in ("common", "partial_invocation"):
        _load(f"{NAME}.{shared}", os.path.join(os.path.dirname(FOLDER), shared + ".py"))
        setattr(sys.modules[NAME], shared, sys.modules[f"{NAME}.{shared}"])


if __name__ == "__main__":
    load()

    from cosmos_async_recorder.main import main  # type: ignore[import-not-found]

    main(sys.argv[1:])
