"""
What dbt makes of a relation's ``grants``: pure.

dbt compares what the project says with what the relation has, letter case aside, revokes what is too much and grants
what is missing, in one script. The texts come from the recording, where dbt's own macros wrote them with other names in
them; a text that repeats something is kept as what stands before, between and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Grants = dict[str, list[str]]  # grantees by privilege

#: Stands for a privilege in a statement's text.
PRIVILEGE = "<cosmos_async privilege>"


@dataclass(frozen=True)
class Change:
    """What separates a relation's grants from those the project wants."""

    revoke: Grants
    grant: Grants

    def __bool__(self) -> bool:
        return bool(self.revoke or self.grant)

    def __str__(self) -> str:
        told = [f"revoked {name} from {', '.join(who)}" for name, who in self.revoke.items()]
        told += [f"granted {name} to {', '.join(who)}" for name, who in self.grant.items()]
        return "; ".join(told)


def current_grants(answer: Json) -> Grants:
    """
    Return the grants a relation has, in the order in which BigQuery tells them.

    Args:
        answer: The answer of ``getQueryResults`` for dbt's query, with the columns privilege_type and grantee.
    """
    names = [column["name"].lower() for column in answer["schema"]["fields"]]
    privilege_at, grantee_at = names.index("privilege_type"), names.index("grantee")
    found: Grants = {}
    for row in answer.get("rows") or []:
        found.setdefault(row["f"][privilege_at]["v"], []).append(row["f"][grantee_at]["v"])
    return found


def change_between(wanted: Mapping[str, Sequence[str]], current: Mapping[str, Sequence[str]]) -> Change:
    """Return what to revoke and what to grant, in dbt's order."""
    return Change(revoke=_minus(current, wanted), grant=_minus(wanted, current))


def _minus(these: Mapping[str, Sequence[str]], those: Mapping[str, Sequence[str]]) -> Grants:
    known = {name.casefold(): {who.casefold() for who in grantees} for name, grantees in those.items()}
    found: Grants = {}
    for name, grantees in these.items():
        others = known.get(name.casefold())
        left = [who for who in grantees if others is None or who.casefold() not in others]
        # dbt keeps a privilege that only one side knows even without grantees; no statement comes of it.
        if left:
            found[name] = left
    return found


def script(change: Change, texts: Mapping[str, Sequence[str]]) -> str:
    """
    Return the text of the job that makes *change*, as dbt would send it.

    Args:
        change: What to do.
        texts: ``revoke`` and ``grant``, each around grantees, and ``script`` around statements.
    """
    statements = [
        join(texts[verb], grantees).replace(PRIVILEGE, name)
        for verb, grants in (("revoke", change.revoke), ("grant", change.grant))
        for name, grantees in grants.items()
    ]
    return join(texts["script"], statements)


def join(text: Sequence[str], items: Sequence[str]) -> str:
    """Return *items* within a text that is given as what stands before, between and after."""
    before, between, after = text
    return before + between.join(items) + after
