"""
SQL that BigQuery accepts and the emulator does not, brought into a form that means the same.

Each function closes one gap of local-bigquery 0.4.0 and names the dbt statement that falls into it. They work on the
shapes that dbt writes, not on SQL in general: comments and string literals are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: Comments, quoted names and literals; what is captured by nothing else is code.
_OPAQUE = re.compile(
    r"""
    (?P<opaque>
        --[^\n]* | \#[^\n]* | /\*.*?\*/
        | r?b?\"\"\".*?\"\"\" | r?b?'''.*?'''
        | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `[^`]*`
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_SET_STRUCT = re.compile(r"\bset\s*\(\s*(\w+)\s*\)\s*=\s*\(\s*select\s+as\s+struct\b", re.IGNORECASE)


def rewritten(sql: str) -> str:
    """Return *sql* as the emulator understands it."""
    for rewrite in REWRITES:
        sql = rewrite(sql)
    return sql


def set_of_one_variable(sql: str) -> str:
    """
    `set (v) = (select as struct <expression>)` → `set v = (select <expression>)`.

    dbt's dynamic insert_overwrite assigns the partitions to replace in this form; the emulator takes the struct for
    an undeclared variable. A struct of one field in a list of one variable is that field.
    """
    return _SET_STRUCT.sub(r"set \1 = (select", sql)


#: In the order in which they are applied.
REWRITES: tuple[Callable[[str], str], ...] = (set_of_one_variable,)


def code(sql: str) -> str:
    """Return *sql* with comments and literals blanked, of the same length, to look for keywords in."""
    return _OPAQUE.sub(lambda match: " " * len(match[0]), sql)
