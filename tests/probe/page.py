"""
What the probe has found, as a page for people who come from Cosmos: ``docs/cosmos.md`` from ``docs/cosmos.json``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.probe.judge import IGNORED, SAME, TOLD, VERDICTS, Row
from tests.probe.notes import NOTES

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOUND = DOCS / "cosmos.md", DOCS / "cosmos.json"

_HEAD = """# Coming from Cosmos, word by word

Made by `make probe` from {cosmos} and {airflow}; do not edit it.
Each name is imported from both packages, and each argument is given to both, for a small project in Cosmos' async mode; what is
told is what was seen of the tasks, their attributes and dbt's command line.

Change `cosmos` to `cosmos_async` in the imports of a DAG file, and leave `cosmos` where something is refused here: both packages
can be installed together. What every DAG meets then:

- `ExecutionMode.AIRFLOW_ASYNC` is the default. A DAG of another mode is moved by leaving `execution_mode` and `invocation_mode` out.
- A triggerer has to run, and with more than one machine [`remote_target_path`](operating.md#why-there-has-to-be-one) has to be set.
- The tasks `dbt_setup_async`, `dbt_results_async`, `dbt_done_async` and `dbt_teardown_async` stand around the nodes.
- A test of several nodes, and the tests of a source, have [tasks of their own](testing.md#which-task-has-which-test) without being asked for.
- [Assets](assets.md) are announced at the end of the run.
- Pools do not hold nodes back; [`max_concurrent_jobs`](options.md) does.

| verdict | what it means | how many |
|---|---|---|
{counts}
"""
_MEANING = {
    SAME: "works as in Cosmos, or is without effect in both, or refused by both",
    "differs": "works, and does something else",
    "refused clearly": "an error names it and the way out",
    "refused badly": "an error that does not help",
    "missing": "there is no such name",
    TOLD: "accepted, with a warning that it has no effect",
    IGNORED: "accepted, and without the effect that it has in Cosmos",
}


def dump(rows: list[Row], made_with: dict[str, str]) -> str:
    """Return what is kept beside the page, without the folder of this checkout."""
    text = json.dumps({**made_with, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
    return text.replace(str(DOCS.parent), "/checkout")


def page(document: dict[str, Any]) -> str:
    """Return the page."""
    rows = [Row(**row) for row in document["rows"]]
    counted = Counter(row.verdict for row in rows)
    counts = "\n".join(f"| {verdict} | {_MEANING[verdict]} | {counted[verdict]} |" for verdict in VERDICTS)
    parts = [_HEAD.format(cosmos=document["cosmos"], airflow=document["airflow"], counts=counts)]
    alike: dict[str, list[str]] = {}
    for group in dict.fromkeys(row.group for row in rows):
        alike.setdefault(_section(group, [row for row in rows if row.group == group]), []).append(group)
    parts += [f"## {', '.join(groups)}\n\n{section}" for section, groups in alike.items()]
    return "\n".join(parts)


def _section(group: str, rows: list[Row]) -> str:
    lines: list[str] = []
    others = [row for row in rows if row.verdict != SAME]
    different = {row.word for row in others}
    same = [word for word in dict.fromkeys(row.word for row in rows) if word not in different]
    if same:
        lines += [f"Same: {', '.join(f'`{word}`' for word in same)}.", ""]
    if others:
        lines += ["| | value | verdict | |", "|---|---|---|---|"]
        alike: dict[tuple[str, str, str], list[Row]] = {}
        for row in sorted(others, key=lambda row: VERDICTS.index(row.verdict)):
            alike.setdefault((row.verdict, row.value, row.detail.replace(row.word, "\u2026")), []).append(row)
        for (verdict, value, common), found in alike.items():
            row = found[0]
            note = NOTES.get((group, row.word)) or (NOTES.get(("", row.word), "") if _is_taken(row) else "")
            detail = row.detail if len(found) == 1 else common
            detail = " ".join(filter(None, (_cell(detail), note)))
            words = ", ".join(f"`{row.word}`" for row in found)
            lines.append(f"| {words} | {_value(value)} | {verdict} | {detail} |")
        lines.append("")
    return "\n".join(lines)


def _is_taken(row: Row) -> bool:
    """Whether it is an argument, which is not refused: what is said of it without a group counts for such alone."""
    return not row.group.startswith("Names") and not row.verdict.startswith("refused")


def _value(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
