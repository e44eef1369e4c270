"""
The recorder as it would be with a newer dbt, as a main program inside dbt: one name of dbt's contexts is unknown to it.

With ``unknown`` as its argument it prints the names of this dbt that it does not know.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

ENTRY = Path(__file__).parents[2] / "cosmos_async" / "dbt" / "scripts" / "__main__.py"
NEW = "local_md5"


def main() -> None:
    """Load the recorder, let it forget a name, and run it."""
    entry = runpy.run_path(str(ENTRY))
    record = entry["load"]("recorder.main").main
    moments = importlib.import_module(f"{entry['NAME']}.recorder.moments")
    if sys.argv[1:] == ["unknown"]:
        print(*sorted(moments.names_of_dbt() - moments.SAME - moments.NAMES.keys()))
        return
    moments.SAME -= {NEW}
    record(sys.argv[1:])


if __name__ == "__main__":
    main()
