"""
Callbacks that upload what dbt has written to Cloud Storage, with Cosmos' names, arguments and object names.

They are given as ``callback`` to an operator that runs real dbt, see :mod:`cosmos_async.operators.local`.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_async import settings
from cosmos_async.exceptions import ConfigError

__all__ = ["upload_files", "upload_to_cloud_storage", "upload_to_gcp_gs"]

__path__: list[str] = []  # see cosmos_names

DEFAULT_CONN_ID = "google_cloud_default"  # Airflow's own


def upload_to_gcp_gs(
    project_dir: str,
    bucket_name: str,
    gcp_conn_id: str | None = None,
    source_subpath: str = "target",
    use_tarball: bool = False,
    **kwargs: Any,
) -> None:
    """
    Upload what dbt has written to ``gs://bucket/dag/run/task/try/target``.

    Args:
        project_dir: The folder with dbt's target folder.
        bucket_name: The bucket.
        gcp_conn_id: The Airflow connection; Airflow's default one for Google Cloud without.
        source_subpath: The folder below *project_dir* to upload.
        use_tarball: Upload one archive, ``target.tar.gz``.
        kwargs: Has the task instance's ``context``.
    """
    folder = f"gs://{bucket_name}/{_of_task(kwargs['context'])}"
    source = Path(project_dir) / source_subpath
    if use_tarball:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(source.resolve(), arcname=source_subpath)
        files = {f"{source_subpath}.tar.gz": packed.getvalue()}
    else:
        files = {f"{source_subpath}/{name}": data for name, data in _files(source).items()}
    upload_files(folder, files, conn_id=gcp_conn_id)


def upload_to_cloud_storage(project_dir: str, source_subpath: str = "target", **kwargs: Any) -> None:
    """
    Upload what dbt has written to ``dag/run/task/try/target`` below ``remote_target_path``.

    Args:
        project_dir: The folder with dbt's target folder.
        source_subpath: The folder below *project_dir* to upload.
        kwargs: Has the task instance's ``context``.

    Raises:
        ConfigError: ``remote_target_path`` is not set.
    """
    base = settings.remote_target_path()
    if base is None:
        raise ConfigError(
            "upload_to_cloud_storage needs to know where to: set AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH to "
            "gs://bucket/prefix, or use upload_to_gcp_gs with a bucket_name."
        )
    upload_files(
        f"{base}/{_of_task(kwargs['context'])}/{source_subpath}",
        _files(Path(project_dir) / source_subpath),
        conn_id=settings.remote_target_path_conn_id(),
    )


def upload_files(folder: str, files: Mapping[str, bytes], *, conn_id: str | None) -> None:
    """
    Write *files* below *folder*, which is in Cloud Storage or local.

    Args:
        folder: ``gs://bucket/prefix``, or an absolute local path.
        files: By their names below it.
        conn_id: The Airflow connection; Airflow's default one for Google Cloud without.

    Raises:
        StoreError: The place is missing, forbidden, or of another kind.
    """
    from cosmos_async.plan.store import PlanAddress, check_base
    from cosmos_async.triggers.storage.documents import write_objects

    check_base(folder)
    address = PlanAddress(folder, index="", host="", conn_id=conn_id or DEFAULT_CONN_ID)
    asyncio.run(write_objects(address, files, identity={}))


def _of_task(context: Any) -> str:
    instance = context["ti"]
    return f"{instance.dag_id}/{instance.run_id}/{instance.task_id}/{instance.try_number}"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
