"""
Airflow's OpenLineage provider, as far as tasks need it that no worker starts or ends: the one place that imports it.

Its listener hears of tasks on workers alone. For others events are made here of the same parts: run and job ids by the
provider, its facets, its client with its transport, its redaction. What is used of it is there in 2.3 to 2.20.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION

if TYPE_CHECKING:
    from cosmos_async.plan.lineage import Column, Dataset, Tables, TaskEvent

log = logging.getLogger(__name__)

PACKAGE = "apache-airflow-providers-openlineage"
LISTENER = "airflow.providers.openlineage.plugins.listener.OpenLineageListener"
#: The first that calls by their names of today what is used here; it needs Airflow 2.10.
OLDEST = (2, 3)
#: OpenLineage's name of BigQuery: https://openlineage.io/docs/spec/naming
NAMESPACE = "bigquery"


@lru_cache(maxsize=1)
def installed_version() -> str | None:
    """Return the provider's version, None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def is_supported() -> bool:
    """Return whether the provider is there, and new enough for us to send its events."""
    found = installed_version()
    if found is None:
        return False
    return tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) >= OLDEST


@lru_cache(maxsize=1)
def is_active() -> bool:
    """Return whether events are sent from here: the provider is there, not switched off, and has somewhere to send to."""
    if not is_supported():
        return False
    from airflow.providers.openlineage import conf

    return not conf.is_disabled()


# -- what setup knows, on a worker ------------------------------------------------------------------------------------


def of_run(context: Any) -> dict[str, Any]:
    """
    Return the fields of a :class:`~cosmos_async.plan.lineage.RunLineage`.

    Args:
        context: Of any task of the run, on a worker.
    """
    from airflow.providers.openlineage.utils.utils import get_task_parent_run_facet

    instance, dag, dag_run = context["ti"], context["dag"], context["dag_run"]
    moment = getattr(dag_run, "logical_date", None) or dag_run.run_after
    parent_id = _adapter().build_dag_run_id(
        dag_id=instance.dag_id, logical_date=moment, clear_number=getattr(dag_run, "clear_number", 0)
    )
    about = {"parent_run_id": parent_id, "parent_job_name": dag.dag_id}
    try:
        parent = get_task_parent_run_facet(**about, dr_conf=getattr(dag_run, "conf", None) or {})
    except TypeError:  # before 2.8 a DAG run had no parents
        parent = get_task_parent_run_facet(**about)
    start, end = (getattr(dag_run, f"data_interval_{name}", None) for name in ("start", "end"))
    airflow = _airflow_facet(dag_run, dag, instance, context["task"])
    return {
        "moment": moment.isoformat(),
        "parent": _json(parent["parent"]),
        "nominal": (start and start.isoformat(), end and end.isoformat()),
        "tags": tuple(sorted(dag.tags or ())),
        "airflow": {name: airflow[name] for name in ("dag", "dagRun") if name in airflow},
    }


def of_task(context: Any, task: Any) -> dict[str, Any] | None:
    """
    Return the fields of another task's :class:`~cosmos_async.plan.lineage.TaskLineage`.

    None where the provider's settings want no events of it.

    Args:
        context: Of the task that runs, on a worker.
        task: The other one.
    """
    if not _is_wanted(task):
        return None
    instance, dag = _instance_of(context["ti"], task), context["dag"]
    airflow = _airflow_facet(context["dag_run"], dag, instance, task)
    description, kind = _documentation(task, dag)
    owner = task.owner if task.owner != "airflow" else dag.owner
    return {
        "owners": tuple(name.strip() for name in owner.split(",")),
        "description": description,
        "description_type": kind,
        "airflow": {name: airflow[name] for name in ("task", "taskInstance") if name in airflow},
        "facets": _users_facets(instance),
    }


def _is_wanted(task: Any) -> bool:
    """Return what ``disabled_for_operators``, ``selective_enable`` and ``emission_policy`` say of a task."""
    try:
        from airflow.providers.openlineage.utils.emission_policy import resolve_task_emission_policy
    except ImportError:  # before 2.17
        from airflow.providers.openlineage.utils.utils import (
            is_operator_disabled,
            is_selective_lineage_enabled,
        )

        return not is_operator_disabled(task) and is_selective_lineage_enabled(task)
    return bool(resolve_task_emission_policy(operator=task, dag_id=task.dag_id, task_id=task.task_id).emit)


def _instance_of(ti: Any, task: Any) -> Any:
    """Return the first try of another task of the run, of which Airflow tells no more here."""
    changed = {"task_id": task.task_id, "task": task, "try_number": 1}
    if AIRFLOW_VERSION >= (3, 0):
        return ti.model_copy(update=changed)
    # Not another object of Airflow's database, which somebody might store.
    about = {name: getattr(ti, name, None) for name in ("dag_id", "run_id", "map_index", "dag_run")}
    return SimpleNamespace(**about, **changed, pool=task.pool, log_url=None)


def _airflow_facet(dag_run: Any, dag: Any, instance: Any, task: Any) -> Any:
    """Return the facet ``airflow`` as JSON, without what Airflow knows to be secret; empty where it cannot be made."""
    from airflow.providers.openlineage.utils.utils import get_airflow_run_facet

    try:
        facet = get_airflow_run_facet(dag_run, dag, instance, task, "")["airflow"]
        found = _json(_adapter()._redacter.redact(facet, max_depth=20))
        # It is kept in a bucket, and these may have something secret under any name.
        found["dagRun"].pop("conf", None)
        found["task"].pop("executor_config", None)
        return found
    except Exception as error:
        log.warning("OpenLineage's facet `airflow` of %s is left out: %s", task.task_id, error)
        return {}


def _documentation(task: Any, dag: Any) -> tuple[str | None, str | None]:
    try:
        from airflow.providers.openlineage.utils.utils import get_dag_documentation, get_task_documentation
    except ImportError:  # before 2.5
        return getattr(task, "doc_md", None) or dag.description, None
    text, kind = get_task_documentation(task)
    return (text, kind) if text else get_dag_documentation(dag)


def _users_facets(instance: Any) -> Any:
    from airflow.providers.openlineage import conf
    from airflow.providers.openlineage.utils.utils import get_user_provided_run_facets
    from airflow.utils.state import TaskInstanceState

    if not conf.custom_run_facets():
        return {}
    facets = get_user_provided_run_facets(instance, TaskInstanceState.RUNNING)
    return {name: _json(facet) for name, facet in facets.items()}


def _json(value: Any) -> Any:
    from openlineage.client.serde import Serde

    return json.loads(Serde.to_json(value))


# -- events -----------------------------------------------------------------------------------------------------------


def send(event: TaskEvent) -> None:
    """
    Send an event through the provider's client; it blocks as long as the transport does.

    The provider itself logs what the transport refuses, and raises nothing.
    """
    _adapter().emit(_run_event(event))


def operator_lineage(tables: Tables) -> Any:
    """Return what an operator tells the provider's listener on a worker, which makes an event of it."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(
        inputs=_inputs(tables),
        outputs=_outputs(tables),
        run_facets=_facets_of_job(tables),
        job_facets=_facet_of_sql(tables),
    )


def column_sources(sql: str) -> dict[str, list[tuple[str, str]]]:
    """
    Return where the columns of a query come from: tables (``project.dataset.table``) and their columns, by name.

    By OpenLineage's own parser, as far as that understands the query.
    """
    from openlineage.common.sql import parse  # type: ignore[import-untyped]

    parsed = parse(sql, dialect="bigquery")
    found = {}
    for column in () if parsed is None else parsed.column_lineage:
        origins = [(origin.origin, origin.name) for origin in column.lineage if origin.origin is not None]
        found[column.descendant.name] = [
            (".".join(part for part in (table.database, table.schema, table.name) if part), name)
            for table, name in origins
        ]
    return {name: origins for name, origins in found.items() if origins}


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

    return OpenLineageAdapter()


def run_id_of(event: TaskEvent) -> str:
    """Return the run id of a task instance, the same that the provider's listener finds on a worker."""
    found = _adapter().build_task_instance_run_id(
        dag_id=event.dag_id,
        task_id=event.task_id,
        try_number=event.try_number,
        logical_date=datetime.fromisoformat(event.run.moment),
        map_index=event.map_index,
    )
    return str(found)


def _run_event(event: TaskEvent) -> Any:
    from airflow.providers.openlineage import conf
    from airflow.providers.openlineage.plugins import adapter
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    return RunEvent(
        eventType=RunState[event.state],
        eventTime=event.at,
        run=Run(run_id_of(event), _run_facets(event)),
        job=Job(
            namespace=conf.namespace(), name=f"{event.dag_id}.{event.task_id}", facets=_job_facets(event)
        ),
        inputs=_inputs(event.tables),
        outputs=_outputs(event.tables),
        producer=adapter._PRODUCER,  # type: ignore[attr-defined]
    )


def _run_facets(event: TaskEvent) -> dict[str, Any]:
    from airflow.providers.openlineage.plugins.facets import AirflowRunFacet
    from airflow.providers.openlineage.utils.utils import get_airflow_debug_facet, get_processing_engine_facet
    from openlineage.client.facet_v2 import (
        error_message_run,
        nominal_time_run,
        parent_run,
    )

    parent = event.run.parent
    facets: dict[str, Any] = dict(event.task.facets)
    facets["parent"] = parent_run.ParentRunFacet(
        run=parent_run.Run(**parent["run"]),
        job=parent_run.Job(**parent["job"]),
        root=parent_run.Root(
            run=parent_run.RootRun(**parent["root"]["run"]), job=parent_run.RootJob(**parent["root"]["job"])
        ),
    )
    if event.run.airflow and event.task.airflow:
        about = {**event.run.airflow, **event.task.airflow}
        about["taskInstance"] = _this_try(about["taskInstance"], event)
        facets["airflow"] = AirflowRunFacet(**about, taskUuid=run_id_of(event))
    start, end = event.run.nominal
    if start is not None:
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(start, end)
    if event.error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(event.error, "python")
    facets.update(_facets_of_job(event.tables))
    return {**facets, **get_processing_engine_facet(), **get_airflow_debug_facet()}


def _facets_of_job(tables: Tables) -> dict[str, Any]:
    from openlineage.client.facet_v2 import external_query_run

    if tables.job is None:
        return {}
    job_id = tables.job["jobReference"]["jobId"]
    return {
        "externalQuery": external_query_run.ExternalQueryRunFacet(job_id, NAMESPACE),
        "bigQueryJob": _bigquery_job(tables.job),
    }


def _this_try(instance: dict[str, Any], event: TaskEvent) -> dict[str, Any]:
    """Return what setup knew of a task's first try as of another one."""
    changed: dict[str, Any] = {"try_number": event.try_number}
    if event.map_index >= 0:
        changed["map_index"] = event.map_index
    url = instance.get("log_url")
    if url and url.endswith("?try_number=1"):
        changed["log_url"] = f"{url[: -len('1')]}{event.try_number}"
    return {**instance, **changed}


def _bigquery_job(job: dict[str, Any]) -> Any:
    """Return the facet ``bigQueryJob`` as Google's provider has it, ``google/cloud/openlineage/mixins.py``."""
    configuration = dict(job.get("configuration") or {})
    if "query" in configuration:
        # The query is the job's facet `sql`.
        configuration["query"] = {
            name: value for name, value in configuration["query"].items() if name != "query"
        }
    query = (job.get("statistics") or {}).get("query") or {}
    billed = query.get("totalBytesBilled")
    return _bigquery_job_facet()(
        cached=bool(query.get("cacheHit", False)),
        billedBytes=int(billed) if billed else None,
        properties=json.dumps({**job, "configuration": configuration}),
    )


@lru_cache(maxsize=1)
def _bigquery_job_facet() -> Any:
    # Google's provider need not be installed.
    import attr
    from openlineage.client.generated.base import RunFacet

    @attr.define
    class BigQueryJobRunFacet(RunFacet):  # type: ignore[misc]
        cached: bool
        billedBytes: Any = None
        properties: Any = None

        @staticmethod
        def _get_schema() -> str:
            return (
                "https://raw.githubusercontent.com/apache/airflow/providers-google/22.8.0/airflow/providers/google/"
                "openlineage/BigQueryJobRunFacet.json"
            )

    return BigQueryJobRunFacet


def _job_facets(event: TaskEvent) -> dict[str, Any]:
    from openlineage.client.facet_v2 import (
        documentation_job,
        job_type_job,
        ownership_job,
        tags_job,
    )

    task = event.task
    owners = [ownership_job.Owner(name=name) for name in sorted(task.owners)]
    facets: dict[str, Any] = {
        "jobType": job_type_job.JobTypeJobFacet(
            jobType="TASK", integration="AIRFLOW", processingType="BATCH"
        ),
        "ownership": ownership_job.OwnershipJobFacet(owners=owners),
    }
    if task.description:
        documentation = documentation_job.DocumentationJobFacet(description=task.description)
        if task.description_type is not None:
            documentation.contentType = task.description_type
        facets["documentation"] = documentation
    if event.run.tags:
        fields = [tags_job.TagsJobFacetFields(key=tag, value=tag, source="AIRFLOW") for tag in event.run.tags]
        facets["tags"] = tags_job.TagsJobFacet(tags=fields)
    return {**facets, **_facet_of_sql(event.tables)}


def _facet_of_sql(tables: Tables) -> dict[str, Any]:
    from openlineage.client.facet_v2 import sql_job

    return {"sql": sql_job.SQLJobFacet(query=tables.sql)} if tables.sql else {}


def _inputs(tables: Tables) -> list[Any]:
    from openlineage.client.event_v2 import InputDataset

    return [
        InputDataset(NAMESPACE, one.name, facets=_facets(one), inputFacets=_input_facets(one))
        for one in tables.inputs
    ]


def _outputs(tables: Tables) -> list[Any]:
    from openlineage.client.event_v2 import OutputDataset

    return [
        OutputDataset(NAMESPACE, one.name, facets=_facets(one), outputFacets=_output_facets(one))
        for one in tables.outputs
    ]


def _facets(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import (
        column_lineage_dataset,
        documentation_dataset,
        schema_dataset,
    )

    facets: dict[str, Any] = {}
    if dataset.columns:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=_schema(dataset.columns))
    if dataset.description:
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            description=dataset.description
        )
    if dataset.sources:
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={
                name: column_lineage_dataset.Fields(
                    inputFields=[
                        column_lineage_dataset.InputField(namespace=NAMESPACE, name=table, field=column)
                        for table, column in origins
                    ]
                )
                for name, origins in dataset.sources.items()
            }
        )
    return facets


def _schema(columns: Iterable[Column]) -> list[Any]:
    from openlineage.client.facet_v2 import schema_dataset

    return [
        schema_dataset.SchemaDatasetFacetFields(
            name=column.name,
            type=column.type,
            description=column.description,
            fields=_schema(column.fields) or None,
        )
        for column in columns
    ]


def _input_facets(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    if not dataset.assertions:
        return {}
    assertions = [
        quality.Assertion(assertion=one.name, success=one.success, column=one.column)
        for one in dataset.assertions
    ]
    return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions=assertions)}


def _output_facets(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    if dataset.rows is None and dataset.size is None:
        return {}
    facet = statistics.OutputStatisticsOutputDatasetFacet(rowCount=dataset.rows, size=dataset.size)
    return {"outputStatistics": facet}
