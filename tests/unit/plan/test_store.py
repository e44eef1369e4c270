"""Addresses: where a run's plan lies, and which places are refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cosmos_async.exceptions import PlanDamaged, StoreError
from cosmos_async.plan.store import PlanAddress, check_base, life_of, run_folder


def test_two_runs_of_two_groups_never_share_a_folder() -> None:
    """Concurrent runs must not delete each other's plans."""
    folders = {
        run_folder("gs://b/p/", dag_id=dag, group_id=group, run_id=run, life="life", map_index=index)
        for dag in ("a", "a/b")
        for group in (None, "g", "g.h")
        for run in ("manual__2026", "manual/2026", "manual__2026~0")
        for index in (-1, 0)
    }

    assert len(folders) == 36
    assert all(folder.startswith("gs://b/p/") and folder.count("/") == 7 for folder in folders)


def test_a_life_of_a_run_is_known_by_when_it_began() -> None:
    """Airflow keeps it while tasks of the running run are cleared; a run that is made again has another one."""
    began = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=timezone.utc)
    elsewhere = began.astimezone(timezone(timedelta(hours=2)))

    assert life_of(began) == life_of(elsewhere) == life_of(began.replace(tzinfo=None))
    assert life_of(began) != life_of(began + timedelta(microseconds=1))


def test_a_life_that_is_not_known_is_never_met_again() -> None:
    """Two runs of which Airflow does not tell when they began do not share a folder."""
    assert life_of(None) != life_of(None)


@pytest.mark.parametrize("base", ["gs://bucket", "gs://bucket/a/b/", "/var/dbt", "file:///var/dbt"])
def test_a_bucket_or_an_absolute_folder_holds_plans(base: str) -> None:
    """Both kinds of store."""
    check_base(base)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("s3://bucket/x", "REMOTE_TARGET_PATH to a Google Cloud Storage path"),
        ("gs://", "names no bucket"),
        ("gs:///x", "names no bucket"),
        ("relative/path", "absolute path"),
    ],
)
def test_any_other_place_is_refused_by_name(base: str, message: str) -> None:
    """The setting, its value and the way out stand in the message."""
    with pytest.raises(StoreError, match=message) as refused:
        check_base(base)
    assert base in str(refused.value)


def test_an_address_survives_its_xcom() -> None:
    """What setup leaves is what the trigger reads."""
    address = PlanAddress("gs://b/p", "abc", "host", "conn")

    assert PlanAddress.from_json(address.to_json()) == address


@pytest.mark.parametrize("value", [None, "gs://b/p", {"folder": "x"}, {"unknown": 1}])
def test_another_value_under_the_address_key_is_named(value: object) -> None:
    """Somebody's own XCom under our key is not followed anywhere."""
    with pytest.raises(PlanDamaged, match="Clear the setup task"):
        PlanAddress.from_json(value)
