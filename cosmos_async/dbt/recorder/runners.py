"""What is replaced in dbt's runners: how a node is planned, and what is kept of it."""

from __future__ import annotations

import functools
from typing import Any

from .describe import describe
from .inside import need  # type: ignore[import-not-found]  # loaded by __main__
from .lines import tests_say_planned
from .session import NEEDS_DBT, LeftToDbt, Recording


class RunnerPatches:
    """Replaces how dbt compiles and runs one node."""

    def __init__(self, recording: Recording) -> None:
        self.journal = recording.journal
        self.overlay = recording.overlay
        self.wire = recording.wire
        self._lock = recording.lock

    def install(self) -> None:
        """Put everything in place."""
        self._runners()

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
