"""``python -m cosmos_async``: the command line."""

from __future__ import annotations

import sys

from cosmos_async.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
