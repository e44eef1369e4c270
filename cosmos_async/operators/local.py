"""
Operators that run one command of real dbt on a worker, in any DAG, with Cosmos' names and arguments.

They are for what is not a node of a project: operations, documentation, a clone. A worker waits for BigQuery meanwhile;
whoever builds a project takes ``DbtDag`` or ``DbtTaskGroup``, which need none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Union

from cosmos_async.operators.local_base import DbtLocalBaseOperator

__all__ = [
    "DbtBuildLocalOperator",
    "DbtCloneLocalOperator",
    "DbtCompileLocalOperator",
    "DbtDocsGCSLocalOperator",
    "DbtDocsLocalOperator",
    "DbtLSLocalOperator",
    "DbtLocalBaseOperator",
    "DbtRunLocalOperator",
    "DbtRunOperationLocalOperator",
    "DbtSeedLocalOperator",
    "DbtSnapshotLocalOperator",
    "DbtSourceLocalOperator",
    "DbtTestLocalOperator",
]

__path__: list[str] = []  # see cosmos_names


class _FullRefreshOperator(DbtLocalBaseOperator):
    """A command that takes ``--full-refresh``."""

    template_fields: Sequence[str] = (*DbtLocalBaseOperator.template_fields, "full_refresh")

    def __init__(self, *, full_refresh: Union[bool, str] = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.full_refresh = full_refresh


class _WarningOperator(DbtLocalBaseOperator):
    """A command whose warnings are told to ``on_warning_callback``, in ``test_names`` and ``test_results`` of its context."""

    results_file = "run_results.json"

    def __init__(self, *, on_warning_callback: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_warning_callback = on_warning_callback

    def after_dbt(self, project_dir: Path, context: Any, *, failed: bool) -> None:
        """Tell of warnings, after what every command does."""
        super().after_dbt(project_dir, context, failed=failed)
        path = project_dir / "target" / self.results_file
        if self.on_warning_callback is None or not path.is_file():
            return
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        warned = [result for result in results if result["status"] == "warn"]
        if warned:
            names = [self.name_of(result["unique_id"]) for result in warned]
            told = [str(result.get("message") or result["status"]) for result in warned]
            self.on_warning_callback({**context, "test_names": names, "test_results": told})

    @staticmethod
    def name_of(unique_id: str) -> str:
        """Return a node's name: ``test.shop.not_null_orders_id.a1b2`` is called ``not_null_orders_id``."""
        return unique_id.split(".")[2]


class DbtBuildLocalOperator(_FullRefreshOperator, _WarningOperator):
    """Run ``dbt build``. Without a worker that waits, it is ``DbtDag`` or ``DbtTaskGroup``."""

    base_cmd = ("build",)


class DbtRunLocalOperator(_FullRefreshOperator):
    """Run ``dbt run``. Without a worker that waits, it is ``DbtDag`` or ``DbtTaskGroup``."""

    ui_color = "#7352BA"
    ui_fgcolor = "#F4F2FC"
    base_cmd = ("run",)


class DbtSeedLocalOperator(_FullRefreshOperator):
    """Run ``dbt seed``."""

    ui_color = "#F58D7E"
    base_cmd = ("seed",)


class DbtSnapshotLocalOperator(DbtLocalBaseOperator):
    """Run ``dbt snapshot``."""

    ui_color = "#964B00"
    base_cmd = ("snapshot",)


class DbtTestLocalOperator(_WarningOperator):
    """Run ``dbt test``."""

    base_cmd = ("test",)


class DbtSourceLocalOperator(_WarningOperator):
    """Run ``dbt source freshness``."""

    ui_color = "#34CCEB"
    base_cmd = ("source", "freshness")
    results_file = "sources.json"

    @staticmethod
    def name_of(unique_id: str) -> str:
        """Return a source's name: ``source.shop.till.orders`` is called ``orders``."""
        return unique_id.split(".")[-1]


class DbtCloneLocalOperator(_FullRefreshOperator):
    """Run ``dbt clone``; ``dbt_cmd_flags=["--state", ...]`` says of what."""

    ui_color = "#83a300"
    base_cmd = ("clone",)


class DbtCompileLocalOperator(DbtLocalBaseOperator):
    """Run ``dbt compile``; the compiled SQL is kept beside the artifacts."""

    ui_color = "#877c7c"
    base_cmd = ("compile",)

    def __init__(self, *, should_upload_compiled_sql: bool = True, **kwargs: Any) -> None:
        super().__init__(should_upload_compiled_sql=should_upload_compiled_sql, **kwargs)


class DbtLSLocalOperator(DbtLocalBaseOperator):
    """Run ``dbt ls``."""

    ui_color = "#DBCDF6"
    base_cmd = ("ls",)


class DbtRunOperationLocalOperator(DbtLocalBaseOperator):
    """
    Run a macro, by ``dbt run-operation``.

    Args:
        macro_name: The macro; ``package.macro`` for one of a package.
        args: Its arguments; templated.
        kwargs: See :class:`DbtLocalBaseOperator`.
    """

    template_fields: Sequence[str] = (*DbtLocalBaseOperator.template_fields, "macro_name", "args")

    def __init__(self, *, macro_name: str, args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.macro_name = macro_name
        self.args = args

    @property
    def base_cmd(self) -> Sequence[str]:  # type: ignore[override]
        """The command and its macro."""
        return ("run-operation", self.macro_name)

    def add_cmd_flags(self) -> list[str]:
        """Return the macro's arguments, as YAML."""
        from cosmos_async.dbt.command import as_yaml

        return ["--args", as_yaml("args", self.args)] if self.args is not None else []


class DbtDocsLocalOperator(DbtLocalBaseOperator):
    """Run ``dbt docs generate``; ``callback`` may bring ``target`` anywhere."""

    base_cmd = ("docs", "generate")

    @property
    def required_files(self) -> tuple[str, ...]:
        """What a documentation site is made of."""
        if "--static" in (self.dbt_cmd_flags or ()):
            return ("static_index.html",)
        return ("index.html", "manifest.json", "catalog.json")


class DbtDocsGCSLocalOperator(DbtDocsLocalOperator):
    """
    Run ``dbt docs generate`` and upload the site to Cloud Storage.

    Args:
        connection_id: The Airflow connection that writes there.
        bucket_name: The bucket.
        folder_dir: The folder in it.
        kwargs: See :class:`DbtLocalBaseOperator`.
    """

    ui_color = "#4772d5"

    def __init__(
        self, *, connection_id: str, bucket_name: str, folder_dir: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connection_id = connection_id
        self.bucket_name = bucket_name
        self.folder_dir = folder_dir

    def after_dbt(self, project_dir: Path, context: Any, *, failed: bool) -> None:
        """Upload the site, after what every command does."""
        from cosmos_async.io import upload_files

        super().after_dbt(project_dir, context, failed=failed)
        if failed:  # a site without its newest models is better than one without any columns
            return
        files = {name: (project_dir / "target" / name).read_bytes() for name in self.required_files}
        folder = "/".join([f"gs://{self.bucket_name}", *filter(None, [(self.folder_dir or "").strip("/")])])
        upload_files(folder, files, conn_id=self.connection_id)
        self.log.info("dbt's documentation, %s, is in %s", ", ".join(files), folder)
