"""``ExecutionConfig``: which dbt runs, and in which environment."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.config.choices import choice
from cosmos_async.constants import ExecutionMode, InvocationMode, TestIndirectSelection
from cosmos_async.exceptions import ConfigError


@dataclass
class ExecutionConfig:
    """
    How and with which dbt the project is run.

    Args:
        execution_mode: ``AIRFLOW_ASYNC``; the others are Cosmos'.
        invocation_mode: Not available, as in Cosmos' async mode.
        test_indirect_selection: Which tests a selection brings along. None leaves it to the project's ``flags`` and to
            ``DBT_INDIRECT_SELECTION``, as ``dbt build`` does.
        dbt_executable_path: The dbt to run, in whichever environment it lives. By default the one beside Airflow's
            Python, then the one on the path.
        install_dbt_deps: Overrides ``ProjectConfig.install_dbt_deps`` at run time; may be a template.
        dbt_project_path: Where the project lies, instead of ``ProjectConfig.dbt_project_path``.
        virtualenv_dir: Where the environment made from *async_py_requirements* is kept.
        async_py_requirements: What to install into an environment for dbt, such as ``["dbt-bigquery==1.10"]``; used
            where no *dbt_executable_path* is given. Optional here.
        setup_operator_args: Arguments for the setup task alone.

    Raises:
        ConfigError: The mode is not run here.
    """

    execution_mode: ExecutionMode = ExecutionMode.AIRFLOW_ASYNC
    invocation_mode: InvocationMode | None = None
    test_indirect_selection: TestIndirectSelection | None = None
    dbt_executable_path: str | Path | None = None
    install_dbt_deps: bool | str | None = None
    dbt_project_path: InitVar[str | Path | None] = None
    virtualenv_dir: str | Path | None = None
    project_path: Path | None = field(init=False)
    async_py_requirements: list[str] | None = None
    setup_operator_args: dict[str, Any] | None = None

    def __post_init__(self, dbt_project_path: str | Path | None) -> None:
        self.execution_mode = choice(ExecutionMode, self.execution_mode, "ExecutionConfig.execution_mode")
        if self.test_indirect_selection is not None:
            self.test_indirect_selection = choice(
                TestIndirectSelection, self.test_indirect_selection, "ExecutionConfig.test_indirect_selection"
            )
        if self.execution_mode is not ExecutionMode.AIRFLOW_ASYNC:
            raise ConfigError(
                f"ExecutionConfig.execution_mode {self.execution_mode.name} is not run by cosmos_async. Use ExecutionMode.AIRFLOW_ASYNC, or "
                "import DbtDag and its configuration from `cosmos` for this DAG; both can be installed together."
            )
        if self.invocation_mode is not None:
            raise ConfigError(
                "ExecutionConfig.invocation_mode has no meaning in ExecutionMode.AIRFLOW_ASYNC: dbt always runs as a "
                "process of its own. Leave it out."
            )
        self.project_path = Path(dbt_project_path) if dbt_project_path else None
