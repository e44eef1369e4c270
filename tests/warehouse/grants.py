"""
GRANT and REVOKE, which the emulator does not know: recorded, and shown in INFORMATION_SCHEMA.OBJECT_PRIVILEGES.

Nothing is enforced. The record is kept in memory, so it ends with the warehouse's process.
"""

from __future__ import annotations

import re

from cosmos_async.testing.engine import EngineJob, JobResult

_NAME = r"`[^`]+`(?:\.`[^`]+`)*|[\w.-]+"
_STATEMENT = re.compile(
    rf"""
    \b(?P<verb>grant|revoke)\s+ (?P<roles>`[^`]+`(?:\s*,\s*`[^`]+`)*) \s+
    on\s+ (?P<kind>(?:external\s+|materialized\s+)?(?:table|view)|schema)\s+ (?P<name>{_NAME}) \s+
    (?:to|from)\s+ (?P<grantees>["'][^"']+["'](?:\s*,\s*["'][^"']+["'])*) \s* (?:;|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*|#[^\n]*", re.DOTALL)
_PRIVILEGES = re.compile(
    r"(?:`?[\w-]+`?\.)?`?region-[\w-]+`?\.`?information_schema`?\.`?object_privileges`?", re.IGNORECASE
)
_COLUMNS = ("object_catalog", "object_schema", "object_name", "object_type", "privilege_type", "grantee")


class Grants:
    """Who was granted what."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], None] = {}  # in the order of `_COLUMNS`

    def run(self, job: EngineJob) -> JobResult | None:
        """Record a job made of nothing but GRANT and REVOKE; None for any other job."""
        sql = _COMMENT.sub("", job.sql)
        statements = list(_STATEMENT.finditer(sql))
        if not statements or _STATEMENT.sub("", sql).strip():
            return None
        for statement in statements:
            self._apply(job.project_id, statement)
        verbs = [statement["verb"].upper() for statement in statements]
        return JobResult(statistics={"query": {"statementType": "SCRIPT" if len(verbs) > 1 else verbs[0]}})

    def shown(self, sql: str) -> str:
        """Return *sql* with the view OBJECT_PRIVILEGES replaced by what was recorded."""
        return _PRIVILEGES.sub(lambda match: self._table(), sql)

    def _apply(self, project_id: str, statement: re.Match[str]) -> None:
        parts = statement["name"].replace("`", "").split(".")
        object_id = tuple([project_id, *parts][-3:])
        kind = " ".join(statement["kind"].upper().split())
        for role in re.findall(r"`([^`]+)`", statement["roles"]):
            for grantee in re.findall(r"[\"']([^\"']+)[\"']", statement["grantees"]):
                row = (*object_id, kind, role, grantee)
                if statement["verb"].lower() == "grant":
                    self._rows[row] = None
                else:
                    self._rows.pop(row, None)

    def _table(self) -> str:
        empty = ", ".join(f"cast(null as string) as {column}" for column in _COLUMNS)
        selects = [f"select {empty} from unnest([1]) where false"]
        selects += ["select " + ", ".join(f"'{value}'" for value in row) for row in self._rows]
        return f"({' union all '.join(selects)})"
