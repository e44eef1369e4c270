"""The words users choose from, as in Cosmos; each says which of them this package runs."""

from __future__ import annotations

from enum import Enum

__path__: list[str] = []  # see cosmos_names

SETUP_TASK_ID = "dbt_setup_async"
RESULTS_TASK_ID = "dbt_results_async"
OTHER_TESTS_TASK_ID = "dbt_other_tests_async"
TEARDOWN_TASK_ID = "dbt_teardown_async"
DONE_TASK_ID = "dbt_done_async"

# Cosmos' names, for DAG files that set edges to these tasks.
DBT_SETUP_ASYNC_TASK_ID = SETUP_TASK_ID
DBT_TEARDOWN_ASYNC_TASK_ID = TEARDOWN_TASK_ID


class ExecutionMode(Enum):
    """
    Where dbt's work is executed.

    Only ``AIRFLOW_ASYNC`` is run here. The others are Cosmos' own; they can be named, so that a shared configuration
    module imports, and are refused by :class:`cosmos_async.config.ExecutionConfig`.
    """

    WATCHER = "watcher"
    LOCAL = "local"
    AIRFLOW_ASYNC = "airflow_async"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    AWS_EKS = "aws_eks"
    AWS_ECS = "aws_ecs"
    VIRTUALENV = "virtualenv"
    AZURE_CONTAINER_INSTANCE = "azure_container_instance"
    GCP_CLOUD_RUN_JOB = "gcp_cloud_run_job"
    GCP_GKE = "gcp_gke"
    WATCHER_GCP_GKE = "watcher_gcp_gke"
    WATCHER_KUBERNETES = "watcher_kubernetes"


class TestBehavior(Enum):
    """Where a project's tests run."""

    __test__ = False  # not a test case, whatever its name says

    BUILD = "build"  #: in the task of the node they belong to
    NONE = "none"  #: nowhere
    AFTER_EACH = "after_each"  #: in a task of their own behind each node
    AFTER_ALL = "after_all"  #: in one task behind all nodes


class TestIndirectSelection(Enum):
    """Which tests a selection of nodes brings along; dbt's ``--indirect-selection``."""

    __test__ = False

    EAGER = "eager"
    CAUTIOUS = "cautious"
    BUILDABLE = "buildable"
    EMPTY = "empty"


class LoadMode(Enum):
    """
    How a project's nodes become known.

    ``AUTOMATIC`` takes the manifest where one is configured, else asks ``dbt ls``. ``CUSTOM``, ``DBT_LS_FILE`` and
    ``DBT_LS_CACHE`` are Cosmos' own and refused here; answers of ``dbt ls`` are always cached.
    """

    AUTOMATIC = "automatic"
    CUSTOM = "custom"
    DBT_LS = "dbt_ls"
    DBT_LS_FILE = "dbt_ls_file"
    DBT_LS_CACHE = "dbt_ls_cache"
    DBT_MANIFEST = "dbt_manifest"


class InvocationMode(Enum):
    """How Cosmos starts dbt. Here it is always a process of its own, so the choice has no effect."""

    SUBPROCESS = "subprocess"
    DBT_RUNNER = "dbt_runner"


class SourceRenderingBehavior(Enum):
    """Whether sources become tasks, which measure their freshness before anything reads them."""

    NONE = "none"  #: as in ``dbt build``
    ALL = "all"  #: a source without freshness has an empty task
    WITH_TESTS_OR_FRESHNESS = "with_tests_or_freshness"


class SeedRenderingBehavior(Enum):
    """Whether and how seeds become tasks, and whether these load them in each run."""

    ALWAYS = "always"
    WHEN_SEED_CHANGES = "when_seed_changes"
    RENDER_ONLY = "render_only"  #: an empty task keeps its place in the graph
    NONE = "none"


class DbtResourceType(Enum):
    """The kinds of dbt nodes that matter to a DAG."""

    MODEL = "model"
    SNAPSHOT = "snapshot"
    SEED = "seed"
    TEST = "test"
    SOURCE = "source"
    EXPOSURE = "exposure"
    UNIT_TEST = "unit_test"
    FUNCTION = "function"  #: a user-defined function, since dbt 1.11


#: Nodes that ``dbt build`` builds, so that each becomes a task.
BUILT_RESOURCES = frozenset(
    {DbtResourceType.MODEL, DbtResourceType.SEED, DbtResourceType.SNAPSHOT, DbtResourceType.FUNCTION}
)

#: Nodes whose relation is an asset to Airflow.
ASSET_RESOURCES = frozenset({DbtResourceType.MODEL, DbtResourceType.SEED, DbtResourceType.SNAPSHOT})
