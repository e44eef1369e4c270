"""
Compare this package with the pinned release of Cosmos, name by name and argument by argument, and tell what differs.

It prints the page and fails where ``docs/cosmos.json`` says otherwise; ``--write`` renews both files.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from importlib.metadata import version

from tests.probe import arguments, names, page
from tests.probe.judge import Row


def found() -> list[Row]:
    """Return all rows."""
    base = arguments.bases()
    rows: list[Row] = []
    for part in (
        names.rows(),
        arguments.of_dags(base),
        arguments.of_configs(base),
        arguments.of_operator_args(base),
        arguments.of_meta(base),
        arguments.of_operators(),
        arguments.of_settings(base),
    ):
        for row in part:
            rows.append(row)
            print(f"\r{len(rows)} {row.group}: {row.word:40.40}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def main() -> int:
    """Compare, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make probe", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/cosmos.json and docs/cosmos.md")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.chdir(tempfile.mkdtemp())  # some values of settings are taken for relative folders
    warnings.simplefilter("ignore")
    text = page.dump(
        found(),
        {
            "cosmos": f"astronomer-cosmos {version('astronomer-cosmos')}",
            "airflow": f"Airflow {version('apache-airflow')}",
        },
    )
    if options.write:
        page.FOUND.write_text(text, encoding="utf-8")
        page.PAGE.write_text(page.page(json.loads(text)), encoding="utf-8")
    print(page.page(json.loads(text)))
    if text != page.FOUND.read_text(encoding="utf-8"):
        print("docs/cosmos.json says otherwise; `make probe ARGS=--write` renews it.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
