"""
One invocation of the user's dbt: which project, which profile, which flags.

Setup, the fallback to real dbt and the results task all run the same invocation, so they share this value. It holds
what the DAG author wrote; :meth:`DbtInvocation.rendered` gives what one run makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

from cosmos_async.exceptions import ConfigError

if TYPE_CHECKING:
    from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig

# Rendered with Jinja by each task that runs dbt; the rest is fixed when the DAG is parsed.
TEMPLATED = (
    "select",
    "exclude",
    "selector",
    "vars",
    "env",
    "full_refresh",
    "fail_fast",
    "install_deps",
    "location",
    "threads",
    "event_time_start",
    "event_time_end",
    "dbt_cmd_flags",
    "dbt_cmd_global_flags",
)

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "none", "")


@dataclass(frozen=True)
class DbtInvocation:
    """What the DAG author asked of dbt; the arguments' names are Cosmos' and dbt's."""

    project_config: ProjectConfig
    profile_config: ProfileConfig
    execution_config: ExecutionConfig
    select: Union[list[str], str, None] = None
    exclude: Union[list[str], str, None] = None
    selector: str | None = None
    vars: Union[dict[str, Any], str, None] = None  #: over ``project_config.dbt_vars``
    env: dict[str, str] | None = None  #: over ``project_config.env_vars``
    append_env: bool = True  #: dbt also sees the worker's own environment
    full_refresh: Union[bool, str] = False
    fail_fast: Union[bool, str] = False  #: the first node that fails ends the run
    install_deps: Union[bool, str] = True
    location: str | None = None  #: BigQuery location; None leaves it to the profile
    threads: Union[int, str, None] = None
    event_time_start: str | None = (
        None  #: of microbatch models, such as ``{{ data_interval_start }}``; inclusive
    )
    event_time_end: str | None = None  #: exclusive
    dbt_cmd_flags: list[str] | None = None  #: after ``dbt build``
    dbt_cmd_global_flags: list[str] | None = None  #: before it
    exclude_resource_types: tuple[str, ...] = ()  #: left out of the whole invocation, such as tests

    def rendered(self, operator: Any, context: Any) -> DbtInvocation:
        """
        Return this invocation with its templates rendered for one task instance.

        Raises:
            ConfigError: A rendered flag is neither true nor false.
        """
        changes = {name: operator.render_template(getattr(self, name), context) for name in TEMPLATED}
        return replace(self, **changes).with_booleans()

    def with_booleans(self) -> DbtInvocation:
        """
        Return this invocation, whose templates are rendered, with its flags as booleans.

        Raises:
            ConfigError: One of them is neither true nor false.
        """
        return replace(
            self,
            full_refresh=_as_bool("full_refresh", self.full_refresh),
            fail_fast=_as_bool("fail_fast", self.fail_fast),
            install_deps=_as_bool("install_deps", self.install_deps),
        )

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Return the names of what a DAG author may say beside the three config objects."""
        return (*TEMPLATED, "append_env")


def _as_bool(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ConfigError(f"{name} is {value!r} after rendering; it must be true or false.")
