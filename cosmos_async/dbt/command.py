"""
What the DAG author asked for, as dbt's command line and environment; what nobody asked for is left to the project.

Pure. Paths (project, profiles, target, logs) are not part of the command line: the working copy gives them to dbt as
environment variables, so that dbt's record of the invocation can be repeated elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import checked
from cosmos_async.exceptions import ConfigError

SECRET_PREFIX = "DBT_ENV_SECRET_"  # dbt's own

# The worker's own affairs: Python paths that would shadow dbt's packages, Airflow's configuration with its keys and
# passwords, and connections. AIRFLOW_HOME, AIRFLOW_VAR_* and AIRFLOW_CTX_* stay, as projects use them in env_var().
_KEPT_FROM_DBT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_KEPT_FROM_DBT_PREFIXES = ("AIRFLOW__", "AIRFLOW_CONN_", "_AIRFLOW_", "__AIRFLOW_")


def dbt_arguments(
    invocation: DbtInvocation,
    command: tuple[str, ...] = ("build",),
    *,
    indirect_selection: bool = True,
    extra: Iterable[str] = (),
) -> list[str]:
    """
    Return the arguments for dbt: global flags, *command*, its options, the author's own flags, *extra*.

    Args:
        invocation: With its templates rendered.
        command: dbt's command, such as ``("build",)``.
        indirect_selection: Whether the command takes ``--indirect-selection``.
        extra: Further options of the command.

    Raises:
        ConfigError: An option cannot be given to dbt.
    """
    arguments = [*checked("dbt_cmd_global_flags", invocation.dbt_cmd_global_flags)]
    if not invocation.project_config.partial_parse:
        arguments.append("--no-partial-parse")
    arguments += command
    arguments += _selection(invocation)
    indirect = invocation.execution_config.test_indirect_selection
    if indirect_selection and indirect is not None:
        arguments += ["--indirect-selection", indirect.value]
    variables = merged_vars(invocation.project_config.dbt_vars, invocation.vars)
    if variables:
        arguments += ["--vars", as_yaml("vars", variables)]
    if invocation.full_refresh:
        arguments.append("--full-refresh")
    if invocation.fail_fast:
        arguments.append("--fail-fast")
    if invocation.threads is not None:
        arguments += ["--threads", str(_threads(invocation.threads))]
    for name in ("event_time_start", "event_time_end"):
        moment = getattr(invocation, name)
        if moment:
            arguments += [f"--{name.replace('_', '-')}", _moment(name, moment)]
    arguments += ["--profile", invocation.profile_config.profile_name]
    arguments += ["--target", invocation.profile_config.target_name]
    arguments += checked("dbt_cmd_flags", invocation.dbt_cmd_flags)
    return [*arguments, *extra]


def merged_vars(*layers: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """
    Return dbt's variables from several sources; the later one wins.

    Args:
        layers: Mappings, or YAML or JSON as one writes it after ``--vars``.

    Raises:
        ConfigError: A text is not a mapping.
    """
    import yaml

    merged: dict[str, Any] = {}
    for layer in layers:
        if not layer:
            continue
        variables: Any = layer
        if isinstance(layer, str):
            try:
                variables = yaml.safe_load(layer)
            except yaml.YAMLError as error:
                raise ConfigError(
                    f"vars is not YAML: {error}. Write it as a dict, or as after `dbt --vars`."
                ) from error
        if not isinstance(variables, Mapping):
            raise ConfigError(
                f"vars is {layer!r}, which is not a mapping. Write a dict, or `{{name: value}}`."
            )
        merged.update(variables)
    return merged


def dbt_environment(
    invocation: DbtInvocation, parent: Mapping[str, str], context: Mapping[str, str] | None = None
) -> dict[str, str]:
    """
    Return what dbt's process shall see, without the profile's variables and the working copy's paths.

    Args:
        invocation: With its templates rendered; its own variables always win.
        parent: The worker's environment. With ``append_env`` dbt sees it, too, but for Airflow's own affairs.
        context: ``AIRFLOW_CTX_...`` of the task instance.

    Raises:
        ConfigError: A variable is not a string.
    """
    env: dict[str, str] = {}
    if invocation.append_env:
        env.update({name: value for name, value in parent.items() if not _is_kept_from_dbt(name)})
    # dbt and git look for programs and for the user's folder.
    for name in ("PATH", "HOME"):
        if name in parent:
            env.setdefault(name, parent[name])
    env.update(context or {})
    for name, value in {**(invocation.project_config.env_vars or {}), **(invocation.env or {})}.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(
                # Without the value, which may be a password.
                f"env has {name!r} of type {type(value).__name__}; environment variables are strings. "
                "Write the value in quotes."
            )
        env[name] = value
    return env


def _is_kept_from_dbt(name: str) -> bool:
    return name in _KEPT_FROM_DBT or name.startswith(_KEPT_FROM_DBT_PREFIXES)


def _selection(invocation: DbtInvocation) -> list[str]:
    arguments: list[str] = []
    for option, value in (("--select", invocation.select), ("--exclude", invocation.exclude)):
        # dbt itself splits at blanks, which join terms as the repetition of the option does.
        terms = [value] if isinstance(value, str) else list(value or [])
        terms = [term for term in terms if term.strip()]
        if terms:
            arguments += [option, *terms]
    if invocation.selector:
        arguments += ["--selector", invocation.selector]
    for resource_type in invocation.exclude_resource_types:
        arguments += ["--exclude-resource-type", resource_type]
    return arguments


def as_yaml(option: str, values: Mapping[str, Any]) -> str:
    """
    Return *values* as one writes them after dbt's ``--vars`` or ``--args``.

    Raises:
        ConfigError: One of them is of a kind that YAML does not know; the message names *option*.
    """
    import yaml

    from cosmos_async.dbt_rules.yaml_text import dump

    try:
        # One line, for a person reading the log; YAML rather than JSON, as it knows dates.
        return dump(dict(values), flow=True, sort_keys=True).strip()
    except yaml.representer.RepresenterError as error:
        raise ConfigError(
            f"{option} cannot be given to dbt: {error}. Use strings, numbers, dates, lists and dicts."
        ) from error


def _moment(name: str, value: Any) -> str:
    """Return a point in time as dbt reads it: UTC, without a zone."""
    try:
        # Airflow's own, rendered; before Python 3.11, fromisoformat knows no Z.
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{name} is {value!r}, which is not a point in time. Write it as 2024-01-31T06:00:00, or as "
            "{{ data_interval_start }} in a DAG whose runs have a data interval."
        ) from error
    if at.tzinfo is not None:
        at = at.astimezone(timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def _threads(value: int | str) -> int:
    try:
        threads = int(value)
    except ValueError:
        threads = 0
    if threads < 1:
        raise ConfigError(f"threads is {value!r}; it must be a whole number from 1 on.")
    return threads
