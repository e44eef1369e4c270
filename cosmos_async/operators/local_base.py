"""
What runs one command of real dbt on a worker: the base of the operators in :mod:`cosmos_async.operators.local`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from cosmos_async import settings
from cosmos_async.airflow.compat import AirflowSkipException, BaseOperator
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.constants import TestIndirectSelection
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.local_words import without_words_of_cosmos
from cosmos_async.operators.results import ARTIFACTS_KEY
from cosmos_async.operators.run_plan import airflow_context, folder_of_run
from cosmos_async.triggers.google.blocking import run_until_complete

if TYPE_CHECKING:
    from cosmos_async.dbt.process import Finished
    from cosmos_async.dbt.session import Dbt

Callback = Union[str, Callable[..., Any]]

#: What is kept of dbt's target folder, as far as a command writes it.
KEPT = (
    "run_results.json",
    "manifest.json",
    "sources.json",
    "catalog.json",
    "index.html",
    "static_index.html",
)
#: dbt's options that are arguments of the same name.
_SWITCHES = ("cache_selected_only", "no_version_check", "quiet", "warn_error")


class DbtLocalBaseOperator(BaseOperator):
    """
    Run one command of the user's dbt on a worker, in a copy of the project.

    The log is dbt's, and so are the words of a failure. dbt's artifacts are kept below ``remote_target_path``, and the
    task's XCom ``dbt_artifacts`` says where.

    Args:
        project_dir: The folder with ``dbt_project.yml``.
        profile_config: How dbt reaches BigQuery.
        select, exclude, selector, vars, env, append_env, fail_fast: See
            :class:`~cosmos_async.dbt.invocation.DbtInvocation`; templated, as the next.
        install_deps, location, threads, dbt_cmd_flags, dbt_cmd_global_flags: Likewise.
        models: Another word for *select*.
        indirect_selection: dbt's option of that name, as the following four.
        cache_selected_only, no_version_check, quiet, warn_error: Whether dbt is given them.
        partial_parse: Let dbt reuse what it parsed before.
        dbt_executable_path: The dbt to run, if it is not beside Airflow.
        py_requirements: What an environment for dbt is made of, instead.
        virtualenv_dir: Where that environment is kept.
        skip_exit_code: With this exit code of dbt the task is skipped.
        callback: Functions, or their import paths, that are given the folder in which dbt ran, with its ``target``, and
            the task's ``context``; also if dbt failed.
        callback_args: Further arguments for them.
        interceptors: Functions of the context and the task that may change ``vars`` and ``env`` first.
        should_upload_compiled_sql: Keep ``target/compiled``, too.
        emit_datasets: Without effect, with a warning where it is True; named here for mapped tasks (``partial``).
        kwargs: Airflow's own arguments of a task.

    Raises:
        ConfigError: An argument of Cosmos has no meaning here, or contradicts another one.
    """

    ui_color = "#8194E0"
    # `env` may hold secrets and is rendered, but not shown.
    template_fields: Sequence[str] = (
        *("select", "exclude", "selector", "vars", "fail_fast", "install_deps", "location", "threads"),
        *("dbt_cmd_flags", "dbt_cmd_global_flags"),
    )
    base_cmd: Sequence[str] = ()  #: dbt's command

    def __init__(
        self,
        *,
        project_dir: Union[str, Path],
        profile_config: ProfileConfig,
        select: Union[list[str], str, None] = None,
        exclude: Union[list[str], str, None] = None,
        selector: str | None = None,
        models: Union[list[str], str, None] = None,
        vars: Union[dict[str, Any], str, None] = None,
        env: dict[str, str] | None = None,
        append_env: bool = True,
        fail_fast: Union[bool, str] = False,
        install_deps: Union[bool, str] = True,
        location: str | None = None,
        threads: Union[int, str, None] = None,
        indirect_selection: str | None = None,
        cache_selected_only: bool = False,
        no_version_check: bool = False,
        quiet: bool = False,
        warn_error: bool = False,
        partial_parse: bool = True,
        dbt_executable_path: Union[str, Path, None] = None,
        py_requirements: list[str] | None = None,
        virtualenv_dir: Union[str, Path, None] = None,
        dbt_cmd_flags: list[str] | None = None,
        dbt_cmd_global_flags: list[str] | None = None,
        skip_exit_code: int | None = 99,
        callback: Union[Callback, list[Callback], None] = None,
        callback_args: dict[str, Any] | None = None,
        interceptors: list[Callable[..., None]] | None = None,
        should_upload_compiled_sql: bool = False,
        emit_datasets: bool | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["emit_datasets"] = emit_datasets
        super().__init__(**without_words_of_cosmos(kwargs, kwargs.get("task_id")))
        if models and select:
            raise ConfigError(
                f"task {self.task_id} has select beside models, which means the same. Use select."
            )
        self.project_dir = str(project_dir)
        self.profile_config = profile_config
        self.select, self.exclude, self.selector = select or models, exclude, selector
        self.vars, self.env, self.append_env = vars, env, append_env
        self.fail_fast, self.install_deps = fail_fast, install_deps
        self.location, self.threads = location, threads
        self.indirect_selection = TestIndirectSelection(indirect_selection) if indirect_selection else None
        self.cache_selected_only, self.no_version_check = cache_selected_only, no_version_check
        self.quiet, self.warn_error = quiet, warn_error
        self.partial_parse = partial_parse
        self.dbt_executable_path, self.py_requirements = dbt_executable_path, py_requirements
        self.virtualenv_dir = virtualenv_dir
        self.dbt_cmd_flags, self.dbt_cmd_global_flags = dbt_cmd_flags, dbt_cmd_global_flags
        self.skip_exit_code = skip_exit_code
        self.callback, self.callback_args = callback, callback_args
        self.interceptors = interceptors
        self.should_upload_compiled_sql = should_upload_compiled_sql
        self.full_refresh: Union[bool, str] = False
        self.processes: Any = None

    def add_cmd_flags(self) -> list[str]:
        """Return further options of the command; for subclasses."""
        return []

    def execute(self, context: Any) -> None:
        """
        Run dbt, keep what it has written, and call back.

        Raises:
            ConfigError: The project, the profile or dbt cannot be found, or an argument is wrong.
            DbtError: dbt failed; its own words are in the message.
            AirflowSkipException: dbt ended with ``skip_exit_code``.
            StoreError: The artifacts cannot be kept.
        """
        from cosmos_async.dbt.artifacts import own_target
        from cosmos_async.dbt.process import Processes
        from cosmos_async.dbt.session import open_dbt

        self.env = self.render_template(self.env, context)
        for interceptor in self.interceptors or ():
            interceptor(context, self)
        self.processes = Processes(lambda line: self.log.info("%s", line))
        with open_dbt(self._invocation(), self.processes, context=airflow_context(context)) as dbt:
            arguments = self._arguments(dbt)
            self.log.info(
                "Running `dbt %s` on this worker, in a copy of %s", " ".join(self.base_cmd), self.project_dir
            )
            finished = dbt.run(arguments)
            failure = self._failure(dbt, arguments, finished)
            try:
                self.after_dbt(own_target(dbt), context, failed=failure is not None)
            except Exception:
                if failure is None:
                    raise
                self.log.exception("dbt has failed, and so has what follows it:")
        if failure is not None:
            raise failure

    def on_kill(self) -> None:
        """End the dbt process."""
        if self.processes is not None:
            self.processes.terminate()

    def after_dbt(self, project_dir: Path, context: Any, *, failed: bool) -> None:
        """
        Keep dbt's artifacts and call back.

        Args:
            project_dir: The copy in which dbt ran; its folder ``target`` has what it wrote.
            context: The task's.
            failed: Whether dbt has.
        """
        self._keep(project_dir / "target", context)
        callbacks = self.callback if isinstance(self.callback, list) else [self.callback]
        for callback in callbacks:
            if callback is None:
                continue
            function = _function(callback) if isinstance(callback, str) else callback
            function(str(project_dir), **{**(self.callback_args or {}), "context": context})

    def _invocation(self) -> DbtInvocation:
        return DbtInvocation(
            project_config=ProjectConfig(self.project_dir, partial_parse=self.partial_parse),
            profile_config=self.profile_config,
            execution_config=ExecutionConfig(
                dbt_executable_path=self.dbt_executable_path,
                async_py_requirements=self.py_requirements,
                virtualenv_dir=self.virtualenv_dir,
                test_indirect_selection=self.indirect_selection,
            ),
            select=self.select,
            exclude=self.exclude,
            selector=self.selector,
            vars=self.vars,
            env=self.env,
            append_env=self.append_env,
            full_refresh=self.full_refresh,
            fail_fast=self.fail_fast,
            install_deps=self.install_deps,
            location=self.location,
            threads=self.threads,
            dbt_cmd_flags=self.dbt_cmd_flags,
            dbt_cmd_global_flags=[
                *(self.dbt_cmd_global_flags or ()),
                *(f"--{name.replace('_', '-')}" for name in _SWITCHES if getattr(self, name)),
            ],
        ).with_booleans()

    def _arguments(self, dbt: Dbt) -> list[str]:
        from cosmos_async.dbt.command import dbt_arguments
        from cosmos_async.dbt.options import anchored

        arguments = dbt_arguments(dbt.invocation, tuple(self.base_cmd), extra=self.add_cmd_flags())
        return anchored(arguments, dbt.workspace.source)

    def _failure(self, dbt: Dbt, arguments: list[str], finished: Finished) -> Exception | None:
        if finished.exit_code == 0:
            return None
        if finished.exit_code == self.skip_exit_code:
            return AirflowSkipException(f"dbt ended with exit code {finished.exit_code}, the skip_exit_code.")
        return dbt.failure(arguments, finished)

    def _keep(self, target: Path, context: Any) -> None:
        from cosmos_async.plan.store import PlanAddress, artifacts_folder
        from cosmos_async.triggers.storage.documents import write_objects

        paths = [target / name for name in KEPT]
        if self.should_upload_compiled_sql:
            paths += (target / "compiled").rglob("*")
        files = {str(path.relative_to(target)): path.read_bytes() for path in paths if path.is_file()}
        if not files:
            return
        folder = artifacts_folder(folder_of_run(context, self.task_id, context["ti"].map_index))
        address = PlanAddress(folder, index="", host="", conn_id=settings.remote_target_path_conn_id())
        run_until_complete(write_objects(address, files, identity=self.profile_config.identity()))
        context["ti"].xcom_push(key=ARTIFACTS_KEY, value=folder)
        self.log.info("dbt's artifacts of this task: %s", folder)


def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"callback {path!r} cannot be imported: {error}. Write the whole path, such as "
            "'cosmos_async.io.upload_to_gcp_gs'."
        ) from error
    return function
