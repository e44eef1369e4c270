"""``RenderConfig``: which nodes become tasks, and how they look in the DAG."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.config.choices import choice
from cosmos_async.constants import (
    DbtResourceType,
    InvocationMode,
    LoadMode,
    SeedRenderingBehavior,
    SourceRenderingBehavior,
    TestBehavior,
)
from cosmos_async.exceptions import ConfigError, ConfigWarning

#: The arguments that are one of a few words.
_CHOICES = {
    "test_behavior": TestBehavior,
    "load_method": LoadMode,
    "invocation_mode": InvocationMode,
    "source_rendering_behavior": SourceRenderingBehavior,
    "seed_rendering_behavior": SeedRenderingBehavior,
}


@dataclass
class RenderConfig:
    """
    How a project becomes a DAG.

    Args:
        emit_datasets: Announce every model, seed and snapshot that was built as an asset (a dataset before Airflow 3), at the
            end of the run.
        test_behavior: Where tests run.
        load_method: ``AUTOMATIC``, ``DBT_LS`` or ``DBT_MANIFEST``.
        invocation_mode: Without effect: ``dbt ls`` always runs as a process of its own.
        select: dbt's ``--select``; dbt itself resolves it, at import and at run time.
        exclude: dbt's ``--exclude``.
        selector: The name of a selector in ``selectors.yml``.
        dbt_deps: Overrides ``ProjectConfig.install_dbt_deps`` while the DAG file is imported.
        node_converters: A function per kind of node that makes its task instead of this package; docs/nodes.md.
        node_conversion_by_task_group: Whether a converter replaces a node's whole group, its test task included.
        dbt_executable_path: The dbt for ``dbt ls``; by default the one of :class:`ExecutionConfig`.
        env_vars: Overrides ``ProjectConfig.env_vars`` while the DAG file is imported.
        dbt_project_path: Where the project lies for ``dbt ls``, instead of ``ProjectConfig.dbt_project_path``.
        dbt_ls_path: Not available: results of ``dbt ls`` are cached anyway.
        enable_mock_profile: False gives ``dbt ls`` the real profile, so that every import reads the connection.
        group_nodes_by_folder: Put the tasks into groups named like the project's folders.
        source_rendering_behavior: Which sources get a task that measures their freshness: none, all, or those that have
            freshness or tests.
        source_pruning: Of these, leave out the sources that no selected node reads.
        seed_rendering_behavior: Whether seeds are loaded, loaded only where that changes something, shown only, or left out.
        airflow_vars_to_purge_dbt_ls_cache: Airflow variables; when one changes, ``dbt ls`` is asked again.
        airflow_vars_to_purge_dbt_yaml_selectors_cache: Without effect: dbt resolves YAML selectors.
        normalize_task_id: A function from a node (a ``cosmos_async.graph.DbtNode``) to its task id, for nodes that
            are not a group.
        normalize_task_display_name: A function from such a node to the name shown for its task.
        should_detach_multiple_parents_tests: Give every test with several parents a task of its own.
        enable_owner_inheritance: Take a task's owner from its node's ``meta.owner``.
        ephemeral_models_as_empty_operator: Without effect: an ephemeral model is an empty task, or that of its tests.

    Raises:
        ConfigError: An argument asks for something that is not available.
    """

    emit_datasets: bool = True
    test_behavior: TestBehavior = TestBehavior.AFTER_EACH
    load_method: LoadMode = LoadMode.AUTOMATIC
    invocation_mode: InvocationMode = InvocationMode.SUBPROCESS
    select: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    selector: str | None = None
    dbt_deps: bool | None = None
    node_converters: dict[DbtResourceType, Callable[..., Any]] | None = None
    node_conversion_by_task_group: bool | None = True
    dbt_executable_path: str | Path | None = None
    env_vars: dict[str, str] | None = None
    dbt_project_path: InitVar[str | Path | None] = None
    dbt_ls_path: Path | None = None
    project_path: Path | None = field(init=False)
    enable_mock_profile: bool = True
    group_nodes_by_folder: bool = False
    source_rendering_behavior: SourceRenderingBehavior | None = SourceRenderingBehavior.NONE
    source_pruning: bool = False
    seed_rendering_behavior: SeedRenderingBehavior = SeedRenderingBehavior.ALWAYS
    airflow_vars_to_purge_dbt_ls_cache: list[str] = field(default_factory=list)
    airflow_vars_to_purge_dbt_yaml_selectors_cache: list[str] = field(default_factory=list)
    normalize_task_id: Callable[..., str] | None = None
    normalize_task_display_name: Callable[..., str] | None = None
    should_detach_multiple_parents_tests: bool = False
    enable_owner_inheritance: bool | None = True
    ephemeral_models_as_empty_operator: bool = True

    def __post_init__(self, dbt_project_path: str | Path | None) -> None:
        self.project_path = Path(dbt_project_path) if dbt_project_path else None
        if self.source_rendering_behavior is None:  # Cosmos takes it for "none"
            self.source_rendering_behavior = SourceRenderingBehavior.NONE
        for name, kind in _CHOICES.items():
            setattr(self, name, choice(kind, getattr(self, name), f"RenderConfig.{name}"))
        if not self.ephemeral_models_as_empty_operator:
            warnings.warn(
                "RenderConfig.ephemeral_models_as_empty_operator=False has no effect: dbt builds nothing for an ephemeral "
                "model, so its task is empty, or that of its tests.",
                ConfigWarning,
                stacklevel=3,
            )
        self.select = _as_terms(self.select)
        self.exclude = _as_terms(self.exclude)
        if self.selector and (self.select or self.exclude):
            raise ConfigError(
                f"RenderConfig has the selector {self.selector!r} beside select or exclude; dbt would ignore one of "
                "them. Move the terms into the selector's definition, or leave the selector out."
            )
        _refuse_unless(
            self.load_method in (LoadMode.AUTOMATIC, LoadMode.DBT_LS, LoadMode.DBT_MANIFEST)
            and not self.dbt_ls_path,
            f"load_method {self.load_method.name}" if not self.dbt_ls_path else "dbt_ls_path",
            "Use LoadMode.DBT_LS, whose answers are cached, or LoadMode.DBT_MANIFEST.",
        )


def _as_terms(value: str | list[str] | None) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


def _refuse_unless(condition: bool, what: str, way_out: str) -> None:
    if not condition:
        raise ConfigError(f"RenderConfig.{what} is not supported. {way_out}")
