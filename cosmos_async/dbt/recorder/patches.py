"""What is replaced in dbt so that it plans instead of building. Nothing of it outlives the process."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from .describe import describe
from .inside import need  # type: ignore[import-not-found]  # loaded by __main__
from .journal import RUN, Journal
from .lines import tests_say_planned
from .overlay import Overlay
from .wire import Wire

NEEDS_DBT = "left to real dbt"

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
        "bq_copy_partitions",
    )
)


class LeftToDbt(DbtRuntimeError):  # type: ignore[misc]  # dbt is not here when types are checked
    """Ends the recording of a node. dbt's handlers let errors of its own through unchanged."""


class Recording:
    """Everything of one invocation, and the functions that put it into dbt."""

    def __init__(self, journal: Journal, overlay: Overlay, wire: Wire) -> None:
        self.journal = journal
        self.overlay = overlay
        self.wire = wire
        self.config: Any = None
        self._counted: set[str] = set()
        self._reported = 0.0
        self._lock = threading.Lock()

    def install(self) -> None:
        """Put everything in place."""
        self._clients()
        self._adapter()
        self._macros()
        self._runners()
        self._tasks()

    # -- Google ---------------------------------------------------------------------------------------------------

    def _clients(self) -> None:
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud.bigquery import Client

        need(AuthorizedSession, "request")
        need(Client, "_http", "location")  # its project is set by __init__
        begin, send = Client.__init__, AuthorizedSession.request

        @functools.wraps(begin)
        def init(client: Any, *args: Any, **kwargs: Any) -> None:
            begin(client, *args, **kwargs)
            session = client._http
            session.cosmos_async = True
            self.wire.wrap(session, project=client.project, location=client.location)

        @functools.wraps(send)
        def request(session: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            # Another Google client: whatever it is for, it changes nothing while we plan.
            if not hasattr(session, "cosmos_async") and method.upper() not in ("GET", "HEAD"):
                self.wire.leave_to_dbt(f"It sends {method} {url.split('?')[0]}, which is not known here.")
                raise RuntimeError(
                    f"{method} {url.split('?')[0]} was not sent, as this run is only being planned"
                )
            return send(session, method, url, *args, **kwargs)

        Client.__init__ = init
        AuthorizedSession.request = request

    # -- the adapter ----------------------------------------------------------------------------------------------

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
        self._left(BigQueryAdapter, "grant_access_to", "grant_access_to changes the access of a dataset.")
        self._left(
            BigQueryAdapter, "get_bq_table", "It looks at settings of a table that cannot be compared later."
        )
        self._left(BigQueryAdapter, "submit_python_job", "It is a Python model.")
        # dbt-bigquery 1.9 knows only the first.
        for name in ("alter_table_add_columns", "alter_table_add_remove_columns"):
            if hasattr(BigQueryAdapter, name):
                self._add_columns(BigQueryAdapter, name)
        self._left(
            BigQueryConnectionManager,
            "copy_bq_table",
            "copy_partitions copies the partitions that its own query found.",
            when=lambda *tables: "bq_copy_partitions" in (journal.doing("macros") or ()),
        )

        need(BigQueryConnectionManager, "execute")
        execute = BigQueryConnectionManager.execute

        @functools.wraps(execute)
        def executing(
            manager: Any, sql: str, auto_begin: bool = False, fetch: Any = None, limit: Any = None
        ) -> Any:
            with journal.while_doing(fetch=bool(fetch)):
                return execute(manager, sql, auto_begin=auto_begin, fetch=fetch, limit=limit)

        BigQueryConnectionManager.execute = executing

        need(BigQueryAdapter, "get_relation", "list_relations", "_schema_is_cached")
        get_relation, list_relations = BigQueryAdapter.get_relation, BigQueryAdapter.list_relations

        @functools.wraps(get_relation)
        def getting(adapter: Any, database: str, schema: str, identifier: str) -> Any:
            with journal.while_doing(looking=True):
                found = get_relation(adapter, database, schema, identifier)
            if adapter._schema_is_cached(database, schema):
                self._saw_relation((database, schema, identifier), found)
            return found

        @functools.wraps(list_relations)
        def listing(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            if not journal.doing("looking") and self.wire.node() != RUN:
                self.wire.leave_to_dbt("It lists the relations of a dataset, which this run may change.")
            return list_relations(adapter, *args, **kwargs)

        # Macros may call what is decorated with `available`; the decoration is an attribute of the function.
        BigQueryAdapter.get_relation = getting
        BigQueryAdapter.list_relations = listing

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
                self.wire.leave_to_dbt(reason)
            return original(self_, *args, **kwargs)

        setattr(owner, name, leaving)

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
                self.wire.node(),
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
        checking = {"asked": False, "checked": False}
        with self.journal.while_doing(describing=checking):
            returned = call()
        if checking["asked"] and not checking["checked"]:
            # It did something else with the columns than having them checked.
            self.wire.leave_to_dbt("persist_docs describes its columns in a way that is not known here.")
        return returned

    def _add_columns(self, adapter: Any, name: str) -> None:
        original = getattr(adapter, name)

        @functools.wraps(original)
        def adding(_: Any, relation: Any, *columns: Any) -> None:
            # Snapshots call it with no columns at all, and 1.9 then sends the schema back as it was read.
            if any(columns):
                self.wire.leave_to_dbt("Its columns changed, and it adds them to its table or removes them.")

        setattr(adapter, name, adding)

    def _saw_relation(self, path: tuple[str, str, str], found: Any) -> None:
        unique_id = self.wire.node()
        change = self.overlay.change(path)
        if unique_id == RUN or (change is not None and change.by == unique_id):
            return
        if found is None:
            state = "absent"
        elif change is not None:
            state = change.kind
        else:
            listing = self.journal.listings.get(".".join(path[:2]), {})
            state = listing.get(path[2]) or _bigquery_type(found.type)
        self.journal.add(unique_id, "relation", path=list(path), state=state, predicted=change is not None)

    # -- macros and runners ---------------------------------------------------------------------------------------

    def _macros(self) -> None:
        from dbt_common.clients.jinja import CallableMacroGenerator

        # dbt's own generator of macros inherits from it, and the adapter uses it directly.
        need(CallableMacroGenerator, "call_macro")
        call_macro, journal = CallableMacroGenerator.call_macro, self.journal

        @functools.wraps(call_macro)
        def calling(generator: Any, *args: Any, **kwargs: Any) -> Any:
            name, package = generator.macro.name, generator.macro.package_name
            if (package, name) == ("dbt_bigquery", "bigquery__persist_docs") and not _warnings_fail():
                return self._persisting_docs(lambda: call_macro(generator, *args, **kwargs))
            if (package, name) == ("dbt", "validate_doc_columns") and journal.doing("describing"):
                journal.doing("describing")["checked"] = True
                return args[1]  # every column; the executor leaves out those the table lacks
            if name not in TELLING:
                return call_macro(generator, *args, **kwargs)
            with journal.while_doing(macros=(*(journal.doing("macros") or ()), name)):
                return call_macro(generator, *args, **kwargs)

        CallableMacroGenerator.call_macro = calling

    def _runners(self) -> None:
        from dbt.artifacts.schemas.results import RunStatus, TestStatus
        from dbt.artifacts.schemas.run import RunResult
        from dbt.compilation import Compiler
        from dbt.task.base import BaseRunner

        need(Compiler, "compile_node")
        compile_node = Compiler.compile_node

        @functools.wraps(compile_node)
        def compiling(*args: Any, **kwargs: Any) -> Any:
            with self.journal.while_doing(phase="compile"):
                return compile_node(*args, **kwargs)

        Compiler.compile_node = compiling

        need(BaseRunner, "compile_and_execute", "safe_run")
        compile_and_execute, safe_run = BaseRunner.compile_and_execute, BaseRunner.safe_run

        @functools.wraps(compile_and_execute)
        def planning(runner: Any, manifest: Any, ctx: Any) -> Any:
            node = runner.node
            is_test = str(node.resource_type.value) in ("test", "unit_test")
            try:
                reason = self._beyond_us(runner, manifest)
                if reason:
                    self.wire.leave_to_dbt(reason)
                with self.journal.while_doing(phase="run", test=is_test, macros=()):
                    return compile_and_execute(runner, manifest, ctx)
            except LeftToDbt:
                self._forget_relation(runner)
                status = TestStatus.Pass if is_test else RunStatus.Success
                return RunResult.from_node(ctx.node, status, NEEDS_DBT)

        @functools.wraps(safe_run)
        def recording(runner: Any, manifest: Any) -> Any:
            result = safe_run(runner, manifest)
            self._describe(runner, result)
            if str(result.status) == "pass" or (str(result.status) == "success" and result.message):
                result.message = NEEDS_DBT if runner.node.unique_id in self.journal.flags else "planned"
            return result

        BaseRunner.compile_and_execute = planning
        BaseRunner.safe_run = recording
        tests_say_planned()

    def _beyond_us(self, runner: Any, manifest: Any) -> str | None:
        """Return why a node is not even tried."""
        node = runner.node
        kind = str(node.resource_type.value)
        if kind == "unit_test":
            return "A unit test compares rows inside dbt."
        if getattr(node, "language", "sql") == "python":
            return "It is a Python model, which runs outside BigQuery."
        if getattr(node.config, "incremental_strategy", None) == "microbatch":
            return "A microbatch model is run batch by batch."
        if kind == "test":
            macro = manifest.find_materialization_macro_by_name(
                runner.config.project_name, node.get_materialization(), "bigquery"
            )
            if macro is not None and macro.package_name not in ("dbt", "dbt_bigquery"):
                return f"The package {macro.package_name} runs its tests in its own way."
        return None

    def _forget_relation(self, runner: Any) -> None:
        """Let dbt and us believe that a node left to dbt was built, in a way nobody can foretell."""
        node = runner.node
        if not getattr(node, "relation_name", None) or node.is_ephemeral_model:
            return
        path = (node.database, node.schema, getattr(node, "alias", None) or node.name)
        kind = "view" if node.get_materialization() == "view" else "table"
        change = self.overlay.change(path)
        if change is None or not change.exists:
            self.overlay.note(path, by=node.unique_id, kind=kind.upper())
        relation = runner.adapter.Relation.create_from(runner.config, node, type=kind)
        if runner.adapter._schema_is_cached(relation.database, relation.schema):
            runner.adapter.cache_added(relation.incorporate(dbt_created=True))

    def _describe(self, runner: Any, result: Any) -> None:
        node = result.node if result is not None and result.node is not None else runner.node
        with self._lock:
            self.journal.nodes[node.unique_id] = describe(node, result)

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _tasks(self) -> None:
        from dbt.task.build import BuildTask
        from dbt.task.run import RunTask
        from dbt.task.runnable import GraphRunnableTask

        for task in (GraphRunnableTask, BuildTask):
            need(task, "MARK_DEPENDENT_ERRORS_STATUSES")
            task.MARK_DEPENDENT_ERRORS_STATUSES = []  # the children are planned all the same
        need(GraphRunnableTask, "call_runner")
        need(RunTask, "before_run", "safe_run_hooks", "get_hooks_by_type")
        call_runner, before_run, run_hooks = (
            GraphRunnableTask.call_runner,
            RunTask.before_run,
            RunTask.safe_run_hooks,
        )

        @functools.wraps(call_runner)
        def calling(task: Any, runner: Any) -> Any:
            result = call_runner(task, runner)
            task._raise_next_tick = None  # --fail-fast is for the run itself
            self._progress(runner.node, task.num_nodes)
            return result

        @functools.wraps(before_run)
        def beginning(task: Any, adapter: Any, selected: Any) -> Any:
            self._began(task, selected)
            return before_run(task, adapter, selected)

        @functools.wraps(run_hooks)
        def hooks(task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
            return self._hooks(run_hooks, task, adapter, hook_type, extra_context)

        GraphRunnableTask.call_runner = calling
        RunTask.before_run = beginning
        RunTask.safe_run_hooks = hooks

    def _began(self, task: Any, selected: Any) -> None:
        self.config = task.config
        self.overlay.default_project = task.config.credentials.database
        self.journal.run["parents"] = {
            unique_id: list(getattr(node.depends_on, "nodes", []))
            for unique_id, node in task.manifest.nodes.items()
            if str(node.resource_type.value) in ("model", "seed", "snapshot")
        }
        for unique_id in selected:
            node = task.manifest.nodes.get(unique_id)
            if node is not None and getattr(node, "relation_name", None) and not node.is_ephemeral_model:
                self.overlay.built[(node.database, node.schema, node.alias)] = unique_id

    def _hooks(self, run_hooks: Any, task: Any, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
        from dbt.artifacts.schemas.results import RunStatus

        found = task.get_hooks_by_type(hook_type)
        if str(hook_type.value) == "on-run-end":
            # They want the results of a run, and there are none yet.
            self.journal.run["on_run_end"] = len(found)
            return RunStatus.Success
        already = len(task.node_results)
        try:
            with self.journal.while_doing(phase="run", macros=()):
                run_hooks(task, adapter, hook_type, extra_context)
        except LeftToDbt:
            pass  # its reason is written down
        errors = {result.node.unique_id: result for result in task.node_results[already:]}
        for hook in found:
            result = errors.get(hook.unique_id)
            self.journal.run["on_run_start"].append(
                {
                    "unique_id": hook.unique_id,
                    "name": f"{hook.package_name}.on-run-start.{hook.index}",
                    "file": hook.original_file_path,
                    "error": result.message if result is not None and str(result.status) == "error" else None,
                }
            )
        return RunStatus.Success

    def _progress(self, node: Any, total: int) -> None:
        if getattr(node, "is_ephemeral_model", False):
            return
        with self._lock:
            self._counted.add(node.unique_id)
            count, now = len(self._counted), time.monotonic()
            if count < total and now - self._reported < 1.0:
                return
            self._reported = now
        print(f"[cosmos-async] planned {count} of {max(count, total)} nodes", flush=True)


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
