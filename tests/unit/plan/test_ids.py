"""Names are computed: the same for the same task instance, distinct for distinct ones, legal for BigQuery and GCS."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.plan.ids import TaskKey, job_id, object_name, shared_job_id

texts = st.text(min_size=1, max_size=300)
keys = st.builds(
    TaskKey, texts, texts, texts, st.integers(-1, 5), st.integers(1, 9), nonce=st.sampled_from(["a1", "b2"])
)


@given(key=keys, unique_id=texts, operation=st.integers(0, 999))
def test_a_job_id_is_legal_and_stable(key: TaskKey, unique_id: str, operation: int) -> None:
    """BigQuery allows letters, digits, underscores and dashes; a restart must compute the same id."""
    name = job_id(key, unique_id, operation)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", name)
    assert job_id(key, unique_id, operation) == name


@given(key=keys, other=keys)
def test_job_ids_differ_when_anything_about_the_task_instance_differs(key: TaskKey, other: TaskKey) -> None:
    """Another try, map index, task, run or DAG, or the same ones planned elsewhere, never meet this one's job."""
    assert (job_id(key, "model.a.b", 0) == job_id(other, "model.a.b", 0)) == (key == other)


def test_parts_that_run_into_each_other_are_told_apart() -> None:
    """Run "a" of DAG "bc" is not run "ab" of DAG "c"."""
    one = TaskKey("bc", "a", "t", -1, 1)
    two = TaskKey("c", "ab", "t", -1, 1)

    assert job_id(one, "model.a.b", 0) != job_id(two, "model.a.b", 0)


def test_a_job_id_names_the_model_for_the_reader_of_bigquerys_console() -> None:
    """The console lists jobs by id, so the id begins with something a person knows."""
    assert job_id(TaskKey("d", "r", "t", -1, 2), "model.shop.stg_orders", 3).startswith(
        "cosmos_stg_orders_t2_3_"
    )


def test_a_shared_job_belongs_to_its_plan() -> None:
    """A plan made anew does not adopt the jobs of the one before."""
    assert shared_job_id("plan-1", "create_schema", "p.d") != shared_job_id("plan-2", "create_schema", "p.d")


@given(name=st.text(max_size=400))
def test_an_object_name_stays_inside_its_folder(name: str) -> None:
    """No user input becomes a path of its own."""
    segment = object_name(name)

    assert re.fullmatch(r"[A-Za-z0-9_.+:=@-]{1,200}", segment)
    assert segment not in (".", "..")
    assert not segment.startswith(".")


@given(one=st.text(max_size=200), two=st.text(max_size=200))
def test_distinct_names_give_distinct_objects(one: str, two: str) -> None:
    """Two runs whose ids differ only in odd characters do not share a folder."""
    assert (object_name(one) == object_name(two)) == (one == two)


def test_an_ordinary_name_stays_as_it_is() -> None:
    """A person looking into the bucket recognises the run."""
    assert object_name("scheduled__2026-03-04T00:00:00+00:00") == "scheduled__2026-03-04T00:00:00+00:00"
