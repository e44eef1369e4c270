"""
What can be imported from Cosmos (1.15) and not from here, and why.

A DAG file that has ``cosmos`` changed to ``cosmos_async`` in all of its imports either works, or is told in one sentence
what to do. Whatever Python finds is imported as ever; the finder below is the last to be asked, and only about this table.

A package is asked for ``from package import name`` as for a module of that name where it has no such attribute, so names
and modules are one list. A plain module with names of Cosmos that are not there says ``__path__ = []`` to be asked as well.
``hasattr`` and its like never come by: a missing attribute is an ``AttributeError``, as Python wants it.
"""

from __future__ import annotations

import re
import sys
from typing import Any

PACKAGE = "cosmos_async"

_MACHINES = "Docker|Kubernetes|AzureContainerInstance|AwsEks|AwsEcs|GcpCloudRunJob|GcpGke"
_WAREHOUSES = (
    "athena|clickhouse|databricks|duckdb|exasol|mysql|oracle|postgres|redshift|snowflake|spark|sqlserver|starrocks"
    "|teradata|trino|vertica"
)
_MAPPINGS = (
    "Athena|Clickhouse|Databricks|DuckDB|Exasol|Mysql|Oracle|Postgres|Redshift|Snowflake|Spark|Starrocks|Teradata|Trino"
    "|Vertica"
)

_ELSEWHERE = "dbt runs on Airflow's own workers here, never in containers or on other services"
_BIGQUERY = "only BigQuery is run here"
_INNER = "it is a part of how Cosmos works inside"

#: What a path below ``cosmos`` looks like, why there is none here, and what serves the purpose instead.
FOREIGN: tuple[tuple[str, str, str], ...] = (
    (rf"(operators\.)?Dbt\w+({_MACHINES})Operator", _ELSEWHERE, ""),
    (
        r"operators\.(docker|kubernetes|azure_container_instance|aws_eks|aws_ecs|gcp_cloud_run_job|gcp_gke)",
        _ELSEWHERE,
        "",
    ),
    (
        r"operators\.watcher\w*",
        "no task watches another one's dbt here",
        "DbtDag and DbtTaskGroup run every node from the triggerer",
    ),
    (
        r"operators\.airflow_async",
        "a node's task carries out what its setup task has planned here",
        "take DbtDag or DbtTaskGroup, or SetupAsyncOperator with "
        "DbtRunAsyncOperator and its siblings of cosmos_async.operators in a DAG of your own",
    ),
    (
        r"operators\._asynchronous",
        _INNER,
        "take SetupAsyncOperator and TeardownAsyncOperator of cosmos_async.operators",
    ),
    (
        r"operators\.(base|_watcher|_k8s_common)",
        _INNER,
        "subclass DbtLocalBaseOperator of cosmos_async.operators.local",
    ),
    (
        r"operators\.(local\.|virtualenv\.)?DbtDeps\w*Operator",
        "packages that it installs would be gone with the task's copy of the project, and Cosmos refuses it as well",
        "leave it to install_deps of the other operators",
    ),
    (r"DbtDepsLocalOperator", "Cosmos refuses it as well", "leave it to install_deps of the other operators"),
    (
        r"operators\.(local\.)?DbtDocs(S3|AzureStorage|Cloud)(Local)?Operator",
        "documentation is uploaded to Cloud Storage only here",
        "take DbtDocsGCSOperator, or DbtDocsOperator with a callback",
    ),
    (r"operators\.local\.AbstractDbtLocalBase", _INNER, "subclass DbtLocalBaseOperator"),
    (r"operators\.(local\.OperatorLineage|virtualenv\.depends_on_virtualenv_dir)", _INNER, ""),
    (r"(operators\.lazy_load|MissingPackage|operators\.lazy_load\.MissingPackage)", _INNER, ""),
    (rf"profiles\.({_WAREHOUSES})", _BIGQUERY, ""),
    (rf"profiles\.(({_MAPPINGS})\w*ProfileMapping|StandardSQLServerAuth)", _BIGQUERY, ""),
    (
        r"profiles\.(get_automatic_profile_mapping|profile_mappings)",
        "which mapping fits would be read from the connection at every import of a DAG file",
        "name one of the three GoogleCloud...ProfileMapping",
    ),
    (
        r"profiles\.(base\.)?DbtProfileConfigVars",
        "dbt's own flags are not the profile's here",
        "set them below `flags:` in dbt_project.yml",
    ),
    (r"converter", _INNER, "take DbtDag or DbtTaskGroup"),
    (
        r"airflow\.(graph|_override|compatibility)",
        _INNER,
        "shape the DAG by RenderConfig and its node_converters",
    ),
    (
        r"core(\.\w+)*",
        _INNER,
        "a function in RenderConfig.node_converters makes an operator of Airflow's itself",
    ),
    (r"dbt\.(executable|parser|project|runner|selector)", _INNER, ""),
    (
        r"dbt\.graph\.(DbtGraph|CosmosLoadDbtException|parse_dbt_ls_output|run_command\w*|is_freshness_effective)",
        _INNER,
        "",
    ),
    (r"dataset\.(get_dataset_namespace|make_dataset_uri_builder|compute_model_outlet_uris)", _INNER, ""),
    (
        r"cache",
        "what is kept between imports is files of one folder here, which may be deleted at any time",
        "leave tasks that clean Cosmos' cache out, or delete files below cache_dir",
    ),
    (
        r"io\.upload_to_(aws_s3|azure_wasb)",
        "only Cloud Storage is written to here",
        "give an operator of cosmos_async.operators callback='cosmos.io.upload_to_...'",
    ),
    (r"log", "tasks write to Airflow's log", "take logging.getLogger"),
    (
        r"(debug|fs|hooks|listeners|plugin|provider_info|telemetry|versioning|_utils)(\.\w+)*",
        _INNER,
        "",
    ),
    (
        r"settings\.(dbt_docs_\w+|enable_\w+|remote_cache_\w+|upload_sql_to_xcom|rich_logging|virtualenv_\w+|watcher_\w+"
        r"|default_copy_dbt_packages|pre_dbt_fusion|use_dataset_\w+|project_hash_\w+|LINEAGE_NAMESPACE|DEFAULT_CACHE_DIR"
        r"|dbt_profile_cache_dir_name|do_not_track|no_analytics|in_astro_cloud|convert_to_boolean|debug_memory_\w+)",
        "nothing here is set by it",
        "",
    ),
    (
        r"constants\.(?!_)[A-Z][A-Z0-9_]*",
        _INNER,
        "",
    ),
)


def why_not(path: str) -> str | None:
    """
    Return a sentence on why Cosmos' *path* is not here, None if Cosmos has no such thing or if nobody knows.

    Args:
        path: Below the package, such as ``operators.kubernetes`` or ``operators.DbtDocsS3Operator``.
    """
    for pattern, why, instead in FOREIGN:
        if re.fullmatch(pattern, path):
            here = f"{instead}, or " if instead else ""
            return (
                f"{PACKAGE} has no {path}, because {why}: {here}import it from Cosmos (cosmos.{path}), as both packages can "
                "be installed together."
            )
    return None


class ForeignNames:
    """A finder of modules that finds none: for those of Cosmos it raises an error that helps."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> None:
        """
        Return None: there is no such module.

        Raises:
            ImportError: Cosmos has it, and the message says why it is not here.
        """
        package, _, rest = fullname.partition(".")
        sentence = why_not(rest) if package == PACKAGE else None
        if sentence is not None:
            # Not its subclass for missing modules, which `from package import name` would replace by a shorter one.
            raise ImportError(sentence, name=fullname)


if not any(
    getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path
):  # not twice by a reload
    sys.meta_path.append(ForeignNames)
