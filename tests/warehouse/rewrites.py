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
_CREATE_VIEW = re.compile(r"\bcreate\s+(?:or\s+replace\s+)?view\b", re.IGNORECASE)
_UNIQUE = re.compile(r"\bunique\b", re.IGNORECASE)
_QUALIFIER_UNIQUE = re.compile(r"\bunique\s*\.", re.IGNORECASE)
_SET_STRUCT = re.compile(r"\bset\s*\(\s*(\w+)\s*\)\s*=\s*\(\s*select\s+as\s+struct\b", re.IGNORECASE)
_DISTINCT_TABLES = re.compile(
    r"\s*select\s+distinct\s+table_schema,\s*table_name,.*\bINFORMATION_SCHEMA\.TABLES\b",
    re.IGNORECASE | re.DOTALL,
)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


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


def alias_called_unique(sql: str) -> str:
    """
    `select unique.* from (select … unique …)` in a view → `select unique_.* from (select … unique_ …)`.

    dbt_utils' `deduplicate` calls the row it keeps so. The emulator keeps a view's text in DuckDB's SQL, where the word
    is reserved, and then can read neither the view nor any list of views. An alias that qualifies is inside the query.
    """
    bare = code(sql)
    if not (_CREATE_VIEW.search(bare) and _QUALIFIER_UNIQUE.search(bare)):
        return sql
    for match in reversed(list(_UNIQUE.finditer(bare))):
        sql = f"{sql[: match.end()]}_{sql[match.end() :]}"
    return sql


#: In the order in which they are applied.
def distinct_tables_in_order(sql: str) -> str:
    """
    `select distinct … from ….INFORMATION_SCHEMA.TABLES …` → `… order by 1, 2`.

    dbt_utils asks for tables by a pattern so, and writes what it gets in that order. BigQuery promises none; here it would
    depend on the datasets' names, in which the same project is built by real dbt and by us.
    """
    bare = code(sql)
    if not _DISTINCT_TABLES.match(bare) or _ORDER.search(bare):
        return sql
    return f"{sql.rstrip().rstrip(';')}\norder by 1, 2"


REWRITES: tuple[Callable[[str], str], ...] = (
    set_of_one_variable,
    alias_called_unique,
    distinct_tables_in_order,
)


def code(sql: str) -> str:
    """Return *sql* with comments and literals blanked, of the same length, to look for keywords in."""
    return _OPAQUE.sub(lambda match: " " * len(match[0]), sql)
