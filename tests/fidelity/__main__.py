"""
The whole fidelity suite: `make fidelity`, or `python -m tests.fidelity [--only NAME ...] [--json FILE] [--details]`.

Our own projects, dbt's adapter test suite and public projects; see docs/fidelity.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fidelity.adapter_suite import compare_adapter_suite
from tests.fidelity.alone import main
from tests.fidelity.choice import ALL, Choice
from tests.fidelity.driver import Bench
from tests.fidelity.own import compare_own
from tests.fidelity.public import compare_public
from tests.fidelity.rows import Row

PARTS = (compare_own, compare_adapter_suite, compare_public)


def compare_all(bench: Bench, folder: Path, choice: Choice = ALL) -> Iterator[Row]:
    """Yield the rows of all parts."""
    for part in PARTS:
        yield from part(bench, folder, choice)


if __name__ == "__main__":
    main(compare_all, __doc__)
