"""What is replaced in dbt's runners: how a node is planned, and what is kept of it."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .batches import BatchPatches
from .describe import describe
from .lines import say_nothing_of_nodes, say_nothing_of_the_run
from .session import NEEDS_DBT, LeftToDbt, Recording


class RunnerPatches:
    """Replaces how dbt compiles and runs one node."""

    def __init__(self, recording: Recording) -> None:
        self.journal = recording.journal
        self.overlay = recording.overlay
        self.context = recording.context
        self._lock = recording.lock
        self._batches = BatchPatches(recording)

    def install(self) -> None:
        """Put everything in place."""
        self._runners()
        self._batches.install()

    def _runners(self) -> None:
        from dbt.artifacts.schemas.results import RunStatus, TestStatus
        from dbt.artifacts.schemas.run import RunResult
        from dbt.compilation import Compiler
        from dbt.task.base import BaseRunner
        from dbt_common.exceptions import DbtBaseException

        need(Compiler, "compile_node")
        compile_node = Compiler.compile_node

        @functools.wraps(compile_node)
        def compiling(*args: Any, **kwargs: Any) -> Any:
            before = kwargs["node"] if "node" in kwargs else args[1]
            self.journal.macros.setdefault(before.unique_id, len(before.depends_on.macros))
            with self.journal.while_doing(phase="compile", rendering=True):
                node = compile_node(*args, **kwargs)
            if getattr(node, "overloads", None):  # since dbt 1.12
                self.context.leave_to_dbt(
                    "It is a function with overloads. Where one of them fails, dbt goes on with the next one."
                )
            return node

        Compiler.compile_node = compiling

        need(BaseRunner, "compile_and_execute", "safe_run")
        compile_and_execute, safe_run = BaseRunner.compile_and_execute, BaseRunner.safe_run

        @functools.wraps(compile_and_execute)
        def planning(runner: Any, manifest: Any, ctx: Any) -> Any:
            node, batch = runner.node, self._batches.index(runner)
            if batch is not None:
                return self._batch(lambda: compile_and_execute(runner, manifest, ctx), runner, batch)
            kind = str(node.resource_type.value)
            is_test = kind in ("test", "unit_test")
            if kind == "model" and _expires_by_the_clock(node):
                self.journal.use(node.unique_id, "the clock (hours_to_expiration of a materialized view)")
            try:
                reason = self._beyond_us(runner, manifest)
                if reason:
                    self.context.leave_to_dbt(reason)
                with self.journal.while_doing(phase="run", test=kind if is_test else None, macros=()):
                    return compile_and_execute(runner, manifest, ctx)
            except Exception as error:
                assumed = self.journal.assumed(node.unique_id)
                if assumed is not None and node.unique_id not in self.journal.flags:
                    # At its turn there may be something else, with which it goes well.
                    what = " ".join(str(error).split())
                    self.journal.flag(
                        node.unique_id, f"{assumed} With what is there now it fails: {what}", late=True
                    )
                # A unit test wraps whatever ends it.
                elif node.unique_id not in self.journal.flags or not isinstance(error, DbtBaseException):
                    raise
                self._forget_relation(runner)
                status = TestStatus.Pass if is_test else RunStatus.Success
                return RunResult.from_node(ctx.node, status, NEEDS_DBT)

        @functools.wraps(safe_run)
        def recording(runner: Any, manifest: Any) -> Any:
            result = safe_run(runner, manifest)
            if self._batches.index(runner) is not None:
                self._batches.ended(runner, result)
            else:
                self._describe(runner, result)
                if (
                    runner.node.unique_id in self.journal.batches
                    and runner.node.unique_id in self.journal.flags
                ):
                    self._forget_relation(runner)
            if str(result.status) == "pass" or (str(result.status) == "success" and result.message):
                result.message = NEEDS_DBT if runner.node.unique_id in self.journal.flags else "planned"
            return result

        BaseRunner.compile_and_execute = planning
        BaseRunner.safe_run = recording
        say_nothing_of_nodes()
        say_nothing_of_the_run()

    def _batch(self, plan: Any, runner: Any, batch: int) -> Any:
        """Plan one batch; where its model is left to real dbt, it counts as planned."""
        if runner.node.unique_id not in self.journal.flags:
            self._batches.begins(runner)
            try:
                with self.journal.while_doing(phase="run", test=None, macros=(), batch=batch):
                    return plan()
            except LeftToDbt:
                pass  # its reason is written down
        return self._batches.left(runner)

    def _beyond_us(self, runner: Any, manifest: Any) -> str | None:
        """Return why a node is not even tried."""
        node = runner.node
        kind = str(node.resource_type.value)
        if getattr(node, "language", "sql") == "python":
            return "It is a Python model, which runs outside BigQuery."
        points = getattr(runner, "_should_create_latest_version_pointer", None)  # since dbt 1.12
        if points is not None and points(node) and self._batches.has(runner):
            return "dbt makes the view of its latest version when all of its batches have ended."
        if kind in ("test", "unit_test"):
            materialization = "unit" if kind == "unit_test" else node.get_materialization()
            macro = manifest.find_materialization_macro_by_name(
                runner.config.project_name, materialization, "bigquery"
            )
            if macro is not None and macro.package_name not in ("dbt", "dbt_bigquery"):
                # Its process is not the one that runs those hooks; see docs/fidelity.md.
                return (
                    f"The package {macro.package_name} runs its tests in its own way. What it leaves in dbt's memory, "
                    "on-run-end hooks of this run do not find."
                )
        return None

    def _forget_relation(self, runner: Any) -> None:
        """Let dbt and us believe that a node left to dbt was built, in a way nobody can foretell."""
        node = runner.node
        if not getattr(node, "relation_name", None) or node.is_ephemeral_model:
            return
        if str(node.resource_type.value) == "source":
            return  # nobody builds it
        path = (node.database, node.schema, getattr(node, "alias", None) or node.name)
        self.journal.relations["open"].append(list(path))
        kind = "view" if node.get_materialization() == "view" else "table"
        change = self.overlay.change(path)
        if change is None or not change.exists:
            self.overlay.note(path, by=node.unique_id, kind=kind.upper())
        relation = runner.adapter.Relation.create_from(runner.config, node, type=kind)
        if runner.adapter._schema_is_cached(relation.database, relation.schema):
            runner.adapter.cache_added(relation.incorporate(dbt_created=True))

    def _describe(self, runner: Any, result: Any) -> None:
        node = result.node if result is not None and result.node is not None else runner.node
        described = describe(node, result)
        if described["resource_type"] == "unit_test":
            # dbt makes a model of it to run it; what it is called and what it belongs to is the definition's.
            described = {
                **describe(runner.node, result),
                "compiled_code": described["compiled_code"],
                "main_job": described["main_job"],
            }
        with self._lock:
            self.journal.nodes[node.unique_id] = described


def _expires_by_the_clock(node: Any) -> bool:
    """Tell whether dbt-bigquery's own code makes a time of day of a model's options; of a table BigQuery computes it."""
    hours = node.config.get("hours_to_expiration")
    return node.get_materialization() == "materialized_view" and hours is not None
