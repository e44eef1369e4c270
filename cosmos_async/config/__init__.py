"""
What a DAG author configures: the project, the profile, how dbt is found, how the DAG looks.

The four classes take Cosmos' arguments with Cosmos' meaning. An argument without a meaning here is either harmless
and documented as such, or refused in words that name it. Files are looked at by the ``validate`` methods, which
``DbtDag`` calls; a constructor only checks what it was given. No Airflow connection is read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_async.constants import (
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    SeedRenderingBehavior,
    SourceRenderingBehavior,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos_async.exceptions import ConfigError, ProfileError, ProjectError

if TYPE_CHECKING:
    from cosmos_async.profiles import BaseProfileMapping, RenderedProfile

# What dbt-bigquery needs to reach the warehouse, and nothing else does.
_CREDENTIALS = frozenset(
    {"keyfile", "keyfile_json", "token", "refresh_token", "client_id", "client_secret", "token_uri"}
)

_CONVERTIBLE = (DbtResourceType.MODEL, DbtResourceType.SEED, DbtResourceType.SNAPSHOT, DbtResourceType.TEST)


class ProjectConfig:
    """
    The dbt project.

    Args:
        dbt_project_path: The folder with ``dbt_project.yml``.
        install_dbt_deps: Run ``dbt deps`` if the project names packages. They are installed into a copy; the project's
            own folder is never written to.
        copy_dbt_packages: Without effect: packages that the project brings along are always found.
        models_relative_path: Without effect, as the following two: ``dbt_project.yml`` tells dbt.
        seeds_relative_path: Without effect.
        snapshots_relative_path: Without effect.
        manifest_path: A ``manifest.json`` on this machine; with it and without a selection, no dbt runs at import.
        manifest_conn_id: Not available, as manifests are read from this machine only.
        project_name: Names the ``<project>_test`` task where there is no ``dbt_project_path``.
        env_vars: Environment variables for dbt, at import and at run time.
        dbt_vars: dbt's ``--vars``, at import and at run time.
        partial_parse: Let dbt reuse what it parsed before.
        models_relative_paths: Without effect, as the following two.
        seeds_relative_paths: Without effect.
        snapshots_relative_paths: Without effect.

    Raises:
        ProjectError: The arguments contradict each other.
    """

    def __init__(
        self,
        dbt_project_path: str | Path | None = None,
        install_dbt_deps: bool = True,
        copy_dbt_packages: bool = False,
        models_relative_path: str | Path | None = None,
        seeds_relative_path: str | Path | None = None,
        snapshots_relative_path: str | Path | None = None,
        manifest_path: str | Path | None = None,
        manifest_conn_id: str | None = None,
        project_name: str | None = None,
        env_vars: dict[str, str] | None = None,
        dbt_vars: dict[str, Any] | None = None,
        partial_parse: bool = True,
        *,
        models_relative_paths: Any = None,
        seeds_relative_paths: Any = None,
        snapshots_relative_paths: Any = None,
    ) -> None:
        if not dbt_project_path and bool(manifest_path) != bool(project_name):
            raise ProjectError(
                "ProjectConfig has only one of manifest_path and project_name. Without dbt_project_path, set both or "
                "neither."
            )
        if manifest_conn_id or (manifest_path and "://" in str(manifest_path)):
            raise ProjectError(
                f"ProjectConfig.manifest_path {str(manifest_path)!r} is a remote manifest, which is not supported. "
                "Deploy manifest.json with the DAG files and give its local path, or leave it out to use `dbt ls`."
            )
        self.dbt_project_path = Path(dbt_project_path) if dbt_project_path else None
        self.manifest_path = Path(manifest_path) if manifest_path else None
        self.project_name = project_name or (self.dbt_project_path.stem if self.dbt_project_path else "")
        self.install_dbt_deps = install_dbt_deps
        self.copy_dbt_packages = copy_dbt_packages
        self.env_vars = dict(env_vars) if env_vars else None
        self.dbt_vars = dict(dbt_vars) if dbt_vars else None
        self.partial_parse = partial_parse

    def at(self, dbt_project_path: Path) -> ProjectConfig:
        """Return the same configuration for a project at *dbt_project_path*."""
        other = copy.copy(self)
        other.dbt_project_path = dbt_project_path
        return other

    def validate(self) -> None:
        """
        Look whether the project's files are there.

        Raises:
            ProjectError: The folder, its ``dbt_project.yml`` or the manifest is missing.
        """
        path = self.dbt_project_path
        if path is not None and not path.is_dir():
            raise ProjectError(
                f"dbt_project_path {path} is not a folder. Point it at the folder with dbt_project.yml; a path "
                "relative to the DAG file is best written as Path(__file__).parent / ..."
            )
        if path is not None and not (path / "dbt_project.yml").is_file():
            raise ProjectError(
                f"There is no dbt_project.yml in dbt_project_path {path}. Point dbt_project_path at the folder that "
                "holds it."
            )
        if self.manifest_path is not None and not self.manifest_path.is_file():
            raise ProjectError(
                f"manifest_path {self.manifest_path} is not a file. Write it with `dbt parse`, or leave manifest_path "
                "out to use `dbt ls`."
            )

    def __repr__(self) -> str:
        return f"ProjectConfig({str(self.dbt_project_path or self.manifest_path)!r})"


@dataclass
class ProfileConfig:
    """
    The dbt profile: a mapped Airflow connection, or a ``profiles.yml``.

    Args:
        profile_name: The profile's name; the one in ``dbt_project.yml`` is overruled.
        target_name: The target within it.
        profiles_yml_filepath: The user's own file, of any name.
        profile_mapping: One of :mod:`cosmos_async.profiles`.

    Raises:
        ProfileError: Neither a file nor a mapping is given, or both.
    """

    profile_name: str
    target_name: str
    profiles_yml_filepath: str | Path | None = None
    profile_mapping: BaseProfileMapping | None = None

    def __post_init__(self) -> None:
        if bool(self.profiles_yml_filepath) == bool(self.profile_mapping):
            which = (
                "both profiles_yml_filepath and"
                if self.profile_mapping
                else "neither profiles_yml_filepath nor"
            )
            raise ProfileError(
                f"ProfileConfig for profile {self.profile_name!r} has {which} profile_mapping. "
                "Give exactly one of them."
            )

    def validate(self) -> None:
        """
        Look whether a user's file has the profile and the target.

        Raises:
            ProfileError: It does not, or the target is not for BigQuery.
        """
        if self.profiles_yml_filepath:
            self._from_file()

    def render(self, *, mock: bool = False, overrides: dict[str, Any] | None = None) -> RenderedProfile:
        """
        Return the profile for dbt. With a mapping this reads the Airflow connection, unless *mock*.

        Args:
            mock: Leave connection and credentials out of it: enough for ``dbt ls``, not for running anything.
            overrides: Keys of the target that win over everything else, such as ``location`` and ``threads``.

        Raises:
            ProfileError: The file or the connection does not make a profile.
        """
        from cosmos_async.profiles import RenderedProfile

        env: dict[str, str] = {}
        others: dict[str, Any] = {}
        flags: dict[str, Any] = {}
        if self.profile_mapping is None:
            output, others, flags = self._from_file()
            if mock:  # the variables with its secrets need not be there while a DAG file is imported
                output = {name: value for name, value in output.items() if name not in _CREDENTIALS}
        elif mock:
            output = self.profile_mapping.mock_profile
        else:
            output, env = self.profile_mapping.resolve()
        if self.profile_mapping is not None:
            env = {**env, **self.profile_mapping.tracking_env}
        changes = {name: value for name, value in (overrides or {}).items() if value is not None}
        return RenderedProfile(self.profile_name, self.target_name, {**output, **changes}, env, others, flags)

    def identity(
        self, *, gcp_conn_id: str | None = None, impersonation_chain: str | list[str] | None = None
    ) -> dict[str, Any]:
        """
        Return whose credentials the triggerer uses: a small, JSON-able dict of names, free of secrets.

        It has ``conn_id``, perhaps with ``impersonation_chain`` or ``key_path``; or, for a user's file,
        ``profiles_yml``, ``profile`` and ``target``.

        Args:
            gcp_conn_id: An Airflow connection to use instead of the profile's.
            impersonation_chain: The account to act as, instead of the connection's own choice.
        """
        if gcp_conn_id:
            identity: dict[str, Any] = {"conn_id": gcp_conn_id}
        elif self.profile_mapping is not None:
            identity = self.profile_mapping.identity()
        else:
            path = Path(str(self.profiles_yml_filepath)).absolute()
            identity = {"profiles_yml": str(path), "profile": self.profile_name, "target": self.target_name}
        if impersonation_chain:
            chain = (
                [impersonation_chain] if isinstance(impersonation_chain, str) else list(impersonation_chain)
            )
            identity["impersonation_chain"] = chain
        return identity

    def default_target(self) -> str:
        """
        Return the target that a user's file names for the profile, as it stands there; ``target_name`` is not used.

        Raises:
            ProfileError: There is no such file or profile.
        """
        return str(self._profile()[0].get("target") or "default")

    def _profile(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the profile, and the file's ``config``, where dbt looks for flags that the project does not set."""
        import yaml

        path = Path(str(self.profiles_yml_filepath))
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ProfileError(
                f"profiles_yml_filepath {path} cannot be read ({error.strerror}). Correct the path, or use a "
                "profile_mapping."
            ) from error
        except yaml.YAMLError as error:
            raise ProfileError(f"profiles_yml_filepath {path} is not YAML: {error}") from error
        profiles = document if isinstance(document, dict) else {}
        flags = profiles.get("config")
        profile = self._pick(profiles, self.profile_name, "profile", "profile_name", path)
        return profile, flags if isinstance(flags, dict) else {}

    def _from_file(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        path = Path(str(self.profiles_yml_filepath))
        profile, flags = self._profile()
        targets = profile.get("outputs")
        output = self._pick(
            targets if isinstance(targets, dict) else {}, self.target_name, "target", "target_name", path
        )
        kind = str(output.get("type"))
        if kind != "bigquery" and "{{" not in kind:
            raise ProfileError(
                f"Target {self.target_name!r} of profile {self.profile_name!r} in {path} is of type {kind!r}. Only "
                "bigquery is run here; name a BigQuery target in target_name, or use Cosmos for the other warehouses."
            )
        others = {key: value for key, value in profile.items() if key not in ("outputs", "target")}
        return dict(output), others, flags

    def _pick(
        self, mapping: dict[str, Any], name: str, what: str, argument: str, path: Path
    ) -> dict[str, Any]:
        found = mapping.get(name)
        if isinstance(found, dict):
            return found
        known = sorted(
            str(key) for key, value in mapping.items() if isinstance(value, dict) and key != "config"
        )
        where = f"profile {self.profile_name!r} of {path}" if what == "target" else str(path)
        raise ProfileError(
            f"There is no {what} {name!r} in {where}; there is {', '.join(known) or 'none at all'}. "
            f"Correct {argument} in ProfileConfig."
        )


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
        if self.execution_mode is not ExecutionMode.AIRFLOW_ASYNC:
            mode = getattr(self.execution_mode, "name", self.execution_mode)
            raise ConfigError(
                f"ExecutionConfig.execution_mode {mode} is not run by cosmos_async. Use ExecutionMode.AIRFLOW_ASYNC, or "
                "import DbtDag and its configuration from `cosmos` for this DAG; both can be installed together."
            )
        if self.invocation_mode is not None:
            raise ConfigError(
                "ExecutionConfig.invocation_mode has no meaning in ExecutionMode.AIRFLOW_ASYNC: dbt always runs as a "
                "process of its own. Leave it out."
            )
        self.project_path = Path(dbt_project_path) if dbt_project_path else None


@dataclass
class RenderConfig:
    """
    How a project becomes a DAG.

    Args:
        emit_datasets: Announce an asset event for every model.
        test_behavior: Where tests run.
        load_method: ``AUTOMATIC``, ``DBT_LS`` or ``DBT_MANIFEST``.
        invocation_mode: Without effect: ``dbt ls`` always runs as a process of its own.
        select: dbt's ``--select``; dbt itself resolves it, at import and at run time.
        exclude: dbt's ``--exclude``.
        selector: The name of a selector in ``selectors.yml``.
        dbt_deps: Overrides ``ProjectConfig.install_dbt_deps`` while the DAG file is imported.
        node_converters: A function per kind of node that makes its task instead of this package.
        node_conversion_by_task_group: Whether a converter replaces a node's whole group, its test task included.
        dbt_executable_path: The dbt for ``dbt ls``; by default the one of :class:`ExecutionConfig`.
        env_vars: Overrides ``ProjectConfig.env_vars`` while the DAG file is imported.
        dbt_project_path: Where the project lies for ``dbt ls``, instead of ``ProjectConfig.dbt_project_path``.
        dbt_ls_path: Not available: results of ``dbt ls`` are cached anyway.
        enable_mock_profile: False gives ``dbt ls`` the real profile, so that every import reads the connection.
        group_nodes_by_folder: Put the tasks into groups named like the project's folders.
        source_rendering_behavior: Only ``NONE`` is available.
        source_pruning: Without effect, as sources are not rendered.
        seed_rendering_behavior: All but ``WHEN_SEED_CHANGES``.
        airflow_vars_to_purge_dbt_ls_cache: Airflow variables; when one changes, ``dbt ls`` is asked again.
        airflow_vars_to_purge_dbt_yaml_selectors_cache: Without effect: dbt resolves YAML selectors.
        normalize_task_id: A function from a node to its task id, for nodes that are not a group.
        normalize_task_display_name: A function from a node to the name shown for its task.
        should_detach_multiple_parents_tests: Give every test with several parents a task of its own.
        enable_owner_inheritance: Take a task's owner from its node's ``meta.owner``.
        ephemeral_models_as_empty_operator: Without effect: ephemeral models are always empty tasks.

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
    source_rendering_behavior: SourceRenderingBehavior = SourceRenderingBehavior.NONE
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
            f"load_method {getattr(self.load_method, 'name', self.load_method)}"
            if not self.dbt_ls_path
            else "dbt_ls_path",
            "Use LoadMode.DBT_LS, whose answers are cached, or LoadMode.DBT_MANIFEST.",
        )
        _refuse_unless(
            self.seed_rendering_behavior is not SeedRenderingBehavior.WHEN_SEED_CHANGES,
            "seed_rendering_behavior WHEN_SEED_CHANGES",
            "Use SeedRenderingBehavior.ALWAYS; loading a seed takes no worker here.",
        )
        unknown = [kind for kind in self.node_converters or {} if kind not in _CONVERTIBLE]
        _refuse_unless(
            not unknown,
            f"node_converters for {', '.join(str(getattr(kind, 'value', kind)) for kind in unknown)}",
            f"Only {', '.join(kind.value for kind in _CONVERTIBLE)} nodes become tasks.",
        )


def _as_terms(value: str | list[str] | None) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


def _refuse_unless(condition: bool, what: str, way_out: str) -> None:
    if not condition:
        raise ConfigError(f"RenderConfig.{what} is not supported. {way_out}")
