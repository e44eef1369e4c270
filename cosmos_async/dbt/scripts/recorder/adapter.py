"""What is replaced in dbt's BigQuery adapter, so that what it would do is recorded with its meaning."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from ..recording.journal import RUN
from .access import record_access
from .columns import ColumnChanges
from .grants import Grants
from .made_up import MadeUpResults
from .partitions import Partitions
from .session import Recording
from .temporaries import Temporaries

#: What persist_docs wants of a column; see dbt's update_columns and validate_doc_columns.
COLUMN_KEYS = ("description", "policy_tags", "quote")

#: Macros that tell why a statement is sent.
TELLING = frozenset(
    (
        "run_hooks",
        "apply_grants",
        "persist_docs",
        "create_schema",
        "check_time_data_types",
    )
)


_DBTS_OWN = frozenset(("dbt", "dbt_bigquery"))
_NAME_TEMPORARY = ("dbt_bigquery", "bigquery__make_relation_with_suffix")
_FIND_PARTITIONS = ("dbt_bigquery", "bq_dynamic_copy_partitions_insert_overwrite_sql")


class AdapterPatches:
    """Replaces methods of the adapter and of its connection manager, and the macros that call them."""

    def __init__(self, recording: Recording) -> None:
        self.journal = recording.journal
        self.overlay = recording.overlay
        self.context = recording.context
        self.recording = recording
        self.grants = Grants(recording)
        self.partitions = Partitions(recording)
        self.results = MadeUpResults(recording)
        self.temporaries = Temporaries(recording)

    def install(self) -> None:
        """Put everything in place."""
        self._adapter()
        self._macros()
        self.results.install()

    def _adapter(self) -> None:
        from dbt.adapters.bigquery import BigQueryAdapter
        from dbt.adapters.bigquery.connections import BigQueryConnectionManager

        journal = self.journal
        self._during(BigQueryAdapter, "get_column_schema_from_query", columns_only=True)
        self._during(BigQueryAdapter, "get_columns_in_select_sql", columns_only=True)
        self._during(BigQueryAdapter, "drop_relation", missing_ok=True)
        # It reads the table only to send the description back.
        self._during(BigQueryAdapter, "update_table_description", blind=True)
        self._describe_columns(BigQueryAdapter)
        record_access(BigQueryAdapter, self.recording)
        self._during(BigQueryAdapter, "describe_relation", settings=True)
        self._during(BigQueryAdapter, "is_replaceable", layout=True)
        self._left(
            BigQueryAdapter,
            "get_bq_table",
            "It looks at settings of a table that cannot be compared later.",
            when=lambda *relations: not journal.doing("settings"),
        )
        self._left(BigQueryAdapter, "submit_python_job", "It is a Python model.")
        self._uploads_files(BigQueryAdapter)
        ColumnChanges(self.recording).install(BigQueryAdapter)

        need(BigQueryConnectionManager, "execute")
        execute = BigQueryConnectionManager.execute

        @functools.wraps(execute)
        def executing(
            manager: Any, sql: str, auto_begin: bool = False, fetch: Any = None, limit: Any = None
        ) -> Any:
            with journal.while_doing(fetch=bool(fetch)):
                response, table = execute(manager, sql, auto_begin=auto_begin, fetch=fetch, limit=limit)
            return self.results.of(response, table, fetch=bool(fetch))

        BigQueryConnectionManager.execute = executing

        need(BigQueryAdapter, "get_relation", "_schema_is_cached")
        get_relation = BigQueryAdapter.get_relation

        @functools.wraps(get_relation)
        def getting(adapter: Any, database: str, schema: str, identifier: str) -> Any:
            found = get_relation(adapter, database, schema, identifier)
            if adapter._schema_is_cached(database, schema):
                self._saw_relation((database, schema, identifier), found)
            return found

        # Macros may call what is decorated with `available`; the decoration is an attribute of the function.
        BigQueryAdapter.get_relation = getting

    def _during(self, owner: Any, name: str, **what: bool) -> None:
        need(owner, name)
        original = getattr(owner, name)

        @functools.wraps(original)
        def doing(*args: Any, **kwargs: Any) -> Any:
            with self.journal.while_doing(**what):
                return original(*args, **kwargs)

        setattr(owner, name, doing)

    def _left(self, owner: Any, name: str, reason: str, *, when: Any = None) -> None:
        need(owner, name)
        original = getattr(owner, name)

        @functools.wraps(original)
        def leaving(self_: Any, *args: Any, **kwargs: Any) -> Any:
            if when is None or when(*args, *kwargs.values()):
                self.context.leave_to_dbt(reason)
            return original(self_, *args, **kwargs)

        setattr(owner, name, leaving)

    def _uploads_files(self, owner: Any) -> None:
        """Note who uploads a file, which may be anywhere and another one in the next run."""
        need(owner, "upload_file")
        original, journal = owner.upload_file, self.journal

        @functools.wraps(original)
        def uploading(*args: Any, **kwargs: Any) -> Any:
            journal.use(self.context.node(), "a file (adapter.upload_file)")
            return original(*args, **kwargs)

        owner.upload_file = uploading

    def _describe_columns(self, adapter: Any) -> None:
        """Record what shall be said of a table's columns; the executor reads the table and writes it back."""
        need(adapter, "update_columns", "get_columns_in_relation")
        update_columns, get_columns = adapter.update_columns, adapter.get_columns_in_relation

        @functools.wraps(update_columns)
        def updating(_: Any, relation: Any, columns: Any) -> None:
            if not columns:
                return
            said = {
                name: {key: column[key] for key in COLUMN_KEYS if column.get(key) is not None}
                for name, column in columns.items()
            }
            checking = self.journal.doing("describing") or {}
            self.journal.add(
                self.context.node(),
                "native",
                kind="update_columns",
                path=[relation.database, relation.schema, relation.identifier],
                payload={"columns": said, "checked": bool(checking.get("checked"))},
            )

        @functools.wraps(get_columns)
        def getting(adapter_: Any, *args: Any, **kwargs: Any) -> Any:
            checking = self.journal.doing("describing")
            if checking is None:
                return get_columns(adapter_, *args, **kwargs)
            checking["asked"] = True
            return []

        adapter.update_columns = updating
        adapter.get_columns_in_relation = getting

    def _persisting_docs(self, call: Any) -> Any:
        """Let dbt's own macro describe columns without knowing which ones the table will have."""
        checking, packages = {"asked": False, "checked": False}, set[str]()
        with self.journal.while_doing(describing=checking, packages=packages):
            returned = call()
        if checking["asked"] and (not checking["checked"] or packages - _DBTS_OWN):
            # It did something else with the columns than having them checked, or a macro of the project may have.
            self.context.leave_to_dbt("persist_docs describes its columns in a way that is not known here.")
        return returned

    def _saw_relation(self, path: tuple[str, str, str], found: Any) -> None:
        unique_id = self.context.node()
        change = self.overlay.change(path)
        if unique_id == RUN or (change is not None and change.by == unique_id):
            return
        if change is None and found is not None and _bigquery_type(found.type) == "FUNCTION":
            return  # since dbt 1.12; it is what was listed when the run began, to its end
        listing = self.journal.listings.get(".".join(path[:2]))
        # What BigQuery has, which is not always what dbt knows: its cache hears nothing of a hook's SQL.
        if change is not None:
            state = change.kind if change.exists else "absent"
        elif self.overlay.late and listing is not None:
            state = listing.get(path[2] if found is None else found.identifier, "absent")
        elif found is None:
            state = "absent"
        else:
            state = (listing or {}).get(path[2]) or _bigquery_type(found.type)
        self.journal.add(unique_id, "relation", path=list(path), state=state, predicted=change is not None)

    def _macros(self) -> None:
        from dbt_common.clients.jinja import CallableMacroGenerator

        # dbt's own generator of macros inherits from it, and the adapter uses it directly.
        need(CallableMacroGenerator, "call_macro")
        call_macro, journal = CallableMacroGenerator.call_macro, self.journal

        @functools.wraps(call_macro)
        def rendering(generator: Any, *args: Any, **kwargs: Any) -> Any:
            if journal.doing("rendering"):
                return calling(generator, *args, **kwargs)
            with journal.while_doing(rendering=True):
                return calling(generator, *args, **kwargs)

        def calling(generator: Any, *args: Any, **kwargs: Any) -> Any:
            name, package = generator.macro.name, generator.macro.package_name
            packages = journal.doing("packages")
            if packages is not None:
                packages.add(package)
            if (package, name) == ("dbt", "default__apply_grants"):
                return self.grants.apply(generator, call_macro, *args, **kwargs)
            if (package, name) == _NAME_TEMPORARY:
                return self.temporaries.name(functools.partial(call_macro, generator), *args, **kwargs)
            if (package, name) == _FIND_PARTITIONS:
                return self.partitions.find(lambda: call_macro(generator, *args, **kwargs))
            if (package, name) == ("dbt_bigquery", "bq_copy_partitions"):
                call = functools.partial(call_macro, generator)
                return self.partitions.copy(call, *args, **kwargs)
            if (package, name) == ("dbt_bigquery", "bigquery__persist_docs") and not _warnings_fail():
                return self._persisting_docs(lambda: call_macro(generator, *args, **kwargs))
            if (package, name) == ("dbt", "validate_doc_columns") and journal.doing("describing"):
                journal.doing("describing")["checked"] = True
                return args[1]  # every column; the executor leaves out those the table lacks
            if name not in TELLING:
                return call_macro(generator, *args, **kwargs)
            with journal.while_doing(macros=(*(journal.doing("macros") or ()), name)):
                return call_macro(generator, *args, **kwargs)

        CallableMacroGenerator.call_macro = rendering


def _warnings_fail() -> bool:
    """Tell whether dbt's warning of a column that is not there ends its node."""
    from dbt.flags import get_flags

    flags = get_flags()
    options = getattr(flags, "WARN_ERROR_OPTIONS", None)
    return bool(
        getattr(flags, "WARN_ERROR", False) or (options is not None and options.includes("JinjaLogWarning"))
    )


def _bigquery_type(kind: Any) -> str:
    return str(getattr(kind, "value", kind)).upper()
