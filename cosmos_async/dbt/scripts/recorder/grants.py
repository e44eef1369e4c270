"""Grants on a relation that exists: recorded with dbt's own texts, compared when the relation is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .session import Recording

#: Names that dbt's macros are given in place of real ones; their texts are cut where these stand.
_PRIVILEGE = "<cosmos_async privilege>"  # the same word as in cosmos_async.dbt_rules.grants
_FIRST, _SECOND = "<cosmos_async first>", "<cosmos_async second>"
_OWN_PACKAGES = frozenset(("dbt", "dbt_bigquery"))
_FIELDS = [
    {"name": "privilege_type", "type": "STRING", "mode": "NULLABLE"},
    {"name": "grantee", "type": "STRING", "mode": "NULLABLE"},
]


class Grants:
    """Stands in for dbt's ``apply_grants`` where it would look at the grants that are there."""

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._context = recording.context
        self._jobs = recording.wire.jobs

    def apply(
        self,
        generator: Any,
        call: Callable[..., Any],
        relation: Any,
        grant_config: Any,
        should_revoke: Any = True,
    ) -> Any:
        """
        Record what dbt would do, or let it do it where it only grants.

        Args:
            generator: dbt's macro ``default__apply_grants``.
            call: Calls it.
            relation: Whose grants.
            grant_config: Those wanted, grantees by privilege.
            should_revoke: Whether the relation may have others.
        """
        if not grant_config or not should_revoke:
            return call(generator, relation, grant_config, should_revoke)
        packages: set[str] = set()
        with self._journal.while_doing(packages=packages):
            payload = self._payload(generator.context, relation, grant_config)
        foreign = sorted(packages - _OWN_PACKAGES)
        if foreign:
            self._context.leave_to_dbt(f"Its grants are given by macros of {', '.join(foreign)}.")
        path = [relation.database, relation.schema, relation.identifier]
        self._journal.add(self._context.node(), "native", kind="grants", path=path, payload=payload)
        return ""

    def _payload(self, macros: Any, relation: Any, wanted: Any) -> dict[str, Any]:
        if not all(
            isinstance(who, (list, tuple)) and all(isinstance(one, str) for one in who)
            for who in wanted.values()
        ):
            self._context.leave_to_dbt("Its grants are not lists of names.")
        if hasattr(macros["diff_of_two_dicts"], "macro"):
            self._context.leave_to_dbt("Its grants are compared by a macro of the project.")

        def statements(grants: Any, verb: str) -> list[str]:
            listed = macros["get_dcl_statement_list"](relation, grants, macros[f"get_{verb}_sql"])
            return [str(statement) for statement in listed]

        texts = {}
        for verb in ("revoke", "grant"):
            found = statements({_PRIVILEGE: [_FIRST, _SECOND]}, verb)
            texts[verb] = self._cut(found[0] if len(found) == 1 else "")
        if statements(wanted, "grant") != [
            _join(texts["grant"], who).replace(_PRIVILEGE, name) for name, who in wanted.items() if who
        ]:
            self._context.leave_to_dbt("Its grants are not all written alike.")
        show = self._job(lambda: macros["run_query"](macros["get_show_grant_sql"](relation)))
        apply = self._job(lambda: macros["call_dcl_statements"]([_FIRST, _SECOND]))
        query = apply["configuration"]["query"]
        texts["script"] = self._cut(query.pop("query"))
        return {
            "grants": {name: list(who) for name, who in wanted.items()},
            "show": show,
            "apply": apply,
            "texts": texts,
        }

    def _job(self, run: Callable[[], Any]) -> dict[str, Any]:
        with self._jobs.keeping(_FIELDS) as kept:
            run()
        if len(kept) != 1:
            self._context.leave_to_dbt("Its grants are not given by one statement each.")
        return kept[0]

    def _cut(self, text: str) -> list[str]:
        if text.count(_FIRST) != 1 or text.count(_SECOND) != 1:
            self._context.leave_to_dbt("Its grants are written in a way that is not known here.")
        before, _, rest = text.partition(_FIRST)
        between, _, after = rest.partition(_SECOND)
        return [before, between, after]


def _join(text: list[str], items: Any) -> str:
    before, between, after = text
    return before + between.join(items) + after
