"""
What a DAG author configures: the project, the profile, how dbt is found, how the DAG looks.

The four classes take Cosmos' arguments with Cosmos' meaning. An argument without a meaning here is either harmless
and documented as such, or refused in words that name it. Files are looked at by the ``validate`` methods, which
``DbtDag`` calls; a constructor only checks what it was given. No Airflow connection is read.
"""

from cosmos_async.config.execution import ExecutionConfig
from cosmos_async.config.foreign import own_config
from cosmos_async.config.profile import ProfileConfig
from cosmos_async.config.project import ProjectConfig
from cosmos_async.config.render import RenderConfig
from cosmos_async.exceptions import ConfigError as CosmosConfigException  # Cosmos' name for it

__all__ = [
    "CosmosConfigException",
    "ExecutionConfig",
    "ProfileConfig",
    "ProjectConfig",
    "RenderConfig",
    "own_config",
]
