"""
Which nodes of a dbt 2 project are real dbt's from the start, as what dbt would do for them cannot be seen in its requests.

Pure: a manifest in, reasons out. dbt 1 is recorded from within, where each look of a template at what dbt knows is seen; of
dbt 2 only requests are. So code of the project's that may look at what comes by no request is found by its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

RECORDED = frozenset(("view", "table", "incremental"))
_DBTS_OWN = ("dbt", "dbt_bigquery")
_MATERIALIZATIONS = {"seed": "seed", "snapshot": "snapshot", "test": "test", "unit_test": "unit"}
_KINDS = {
    "function": "It is a function, which dbt 2 is not recorded for.",
}
#: What tells of the warehouse, or of the run, without a request that could be met again.
_LOOKS = re.compile(
    r"\b(?P<method>adapter\b(?!\s*\.\s*(?:dispatch|quote|get_columns_in_relation|type)\b)(?:\s*\.\s*\w+)?)"
    r"|\b(?P<name>(?:load|get)_(?:cached_|or_create_)?relation|load_result|store_raw_result|store_result|selected_resources"
    r"|invocation_args_dict|list_relations_without_caching|check_schema_exists|list_schemas)\b"
)
_COLUMNS = "get_columns_in_relation"
_ASKS = re.compile(r"\b(?:run_query|statement|get_query_results_as_dict|get_single_value)\b")
_WORD = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"\{#.*?#\}", re.S)


class Beyond:
    """
    Tells which nodes are not even tried.

    Args:
        manifest: dbt's ``manifest.json``.
        tests: Why no test is recorded, if none is.
    """

    def __init__(self, manifest: Json, *, tests: str | None = None) -> None:
        self._tests = tests
        self._models = manifest["nodes"]
        macros = [macro for macro in manifest["macros"].values() if macro["package_name"] not in _DBTS_OWN]
        self._macros = _by_name(macros)
        own = [macro for macro in manifest["macros"].values() if macro["package_name"] in _DBTS_OWN]
        dbts = {macro["name"] for macro in own}
        self._own = _by_name(own)
        self._columns = _callers(own, _COLUMNS)
        # dbt's own macros call these in place of its own.
        self._always = [macro for macro in macros if dbts & {macro["name"], *_called(macro["name"])}]
        self._materializations = {
            macro["name"].split("_")[1] for macro in macros if macro["name"].startswith("materialization_")
        }

    def why(self, node: Json) -> str | None:
        """Return why a node is real dbt's; None where it is recorded."""
        kind = node["resource_type"]
        if kind in _KINDS:
            return _KINDS[kind]
        if node.get("language") == "python":
            return "It is a Python model, which runs outside BigQuery."
        config = node.get("config") or {}
        materialized = _MATERIALIZATIONS.get(kind) or config.get("materialized") or "view"
        if kind == "test" and self._tests:
            return self._tests
        if kind == "model" and materialized not in RECORDED and materialized != "ephemeral":
            return f"dbt 2 is not recorded for the materialization {materialized}."
        if materialized in self._materializations:
            return f"The project has a materialization {materialized} of its own."
        if config.get("incremental_strategy") == "microbatch":
            return "dbt 2 is not recorded for microbatch models."
        if (config.get("partition_by") or {}).get("copy_partitions"):
            return "It copies partitions, which are found when it runs."
        if config.get("grant_access_to"):
            return "It changes the access list of a dataset."
        if (config.get("persist_docs") or {}).get("columns") and (config.get("contract") or {}).get(
            "enforced"
        ):
            return "dbt 2's driver writes its columns back without all that its contract says of them."
        return self._looks(self._code(node, config))

    def asks(self, node: Json) -> bool:
        """Tell whether code of the project's, for this node, sends queries whose result it may use."""
        return any(_ASKS.search(text) for _, text in self._code(node, node.get("config") or {}))

    def reads_columns(self, node: Json) -> bool:
        """Tell whether code of the project's, for this node, may ask for the columns of a relation that is not its own."""
        return node["resource_type"] == "unit_test" or any(
            not self._columns.isdisjoint(_WORD.findall(text))
            for _, text in self._code(node, node.get("config") or {})
        )

    def names_relations(self, node: Json) -> bool:
        """Tell whether code of the project's, for this node, may name a relation that the node does not depend on."""
        return any("api.Relation" in text for _, text in self._code(node, node.get("config") or {}))

    def code_of(self, hook: Json) -> Iterator[tuple[str, str]]:
        """Yield all code of the project's that a hook of the run may run: its own, and macros with their names."""
        return self._reached([("", hook.get("raw_code") or "")], through=self._own)

    def why_no_hook(self, hook: Json) -> str | None:
        """Return why a hook of the run cannot be recorded; None where it is."""
        return self._looks(self.code_of(hook))

    def hook_asks(self, hook: Json) -> bool:
        """Tell whether code of the project's, for a hook of the run, sends queries whose result it may use."""
        return any(_ASKS.search(text) for _, text in self.code_of(hook))

    def _looks(self, code: Iterable[tuple[str, str]]) -> str | None:
        for name, text in code:
            look = _LOOKS.search(text)
            if look is not None:
                what = re.sub(r"\s", "", look["method"] or look["name"])
                return f"{f'The macro {name}' if name else 'It'} uses {what}, whose answer is in no request of dbt 2."
        return None

    def _code(self, node: Json, config: Json) -> Iterator[tuple[str, str]]:
        """Yield all code of the project's, by the macro's name, that dbt may run for a node."""
        hooks = [
            hook.get("sql", "") if isinstance(hook, dict) else str(hook)
            for when in ("pre-hook", "post-hook", "pre_hook", "post_hook")
            for hook in _listed(config.get(when))
        ]
        parents = (node.get("depends_on") or {}).get("nodes", ())
        # A unit test renders the model that it tests, all others the ephemeral models that they stand on.
        texts = self._raw(parents) if node.get("resource_type") == "unit_test" else self._ephemeral(parents)
        code = [("", text) for text in (node.get("raw_code") or "", *hooks, *texts)]
        return self._reached([*code, *((macro["name"], macro["macro_sql"]) for macro in self._always)])

    def _reached(
        self, code: Iterable[tuple[str, str]], through: Mapping[str, Sequence[Json]] | None = None
    ) -> Iterator[tuple[str, str]]:
        """
        Yield code, by the macro's name, and that of the project's macros which it may call.

        Args:
            code: To begin with.
            through: Macros of others, by the names that they are called by, which may call the project's.
        """
        waiting = [(name, text, True) for name, text in code]
        seen: set[str] = set()
        while waiting:
            name, text, projects = waiting.pop()
            text = _COMMENT.sub("", text)
            if projects:
                yield name, text
            for word in set(_WORD.findall(text)):
                called = [(macro, True) for macro in self._macros.get(word, ())]
                called += [(macro, False) for macro in (through or {}).get(word, ())]
                for macro, projects in called:
                    if macro["unique_id"] not in seen:
                        seen.add(macro["unique_id"])
                        waiting.append((macro["name"], macro["macro_sql"], projects))

    def _raw(self, unique_ids: Iterable[str]) -> list[str]:
        return [self._models[each].get("raw_code") or "" for each in unique_ids if each in self._models]

    def _ephemeral(self, parents: Iterable[str]) -> list[str]:
        """Return the code of all ephemeral models that become part of who has these parents."""
        seen: set[str] = set()
        waiting = list(parents)
        while waiting:
            unique_id = waiting.pop()
            model = self._models.get(unique_id) or {}
            if unique_id not in seen and (model.get("config") or {}).get("materialized") == "ephemeral":
                seen.add(unique_id)
                waiting += (model.get("depends_on") or {}).get("nodes", ())
        return self._raw(sorted(seen))


def _by_name(macros: Iterable[Json]) -> dict[str, list[Json]]:
    """Return macros by the names that they are called by."""
    found: dict[str, list[Json]] = {}
    for macro in macros:
        for name in _called(macro["name"]):
            found.setdefault(name, []).append(macro)
    return found


def _callers(macros: Iterable[Json], called: str) -> set[str]:
    """Return the names by which macros are called that call another one, directly or not, and that one's own."""
    words = {macro["unique_id"]: set(_WORD.findall(macro["macro_sql"])) for macro in macros}
    names = {macro["unique_id"]: set(_called(macro["name"])) for macro in macros}
    found = {called}
    while True:
        more = {
            name for macro, said in words.items() if not found.isdisjoint(said) for name in names[macro]
        } - found
        if not more:
            return found
        found |= more


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _called(name: str) -> Iterator[str]:
    """Yield the names by which a macro is called; ``default__x`` is called as ``x``."""
    yield name
    prefix, separator, rest = name.partition("__")
    if separator and prefix in ("default", "bigquery"):
        yield rest
