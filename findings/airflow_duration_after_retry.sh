#!/usr/bin/env bash
# Airflow 3.3.2: a task that begins and ends in the triggerer has a negative duration after it was cleared (or retried).
#
# Where the scheduler starts a trigger itself (`start_from_trigger`), it sets the new try's start_date and leaves the
# end_date of the try before; `TaskInstance.set_state`, by which a trigger's `TaskSuccessEvent` ends the task, keeps an
# end_date that is there. So the second try ends before it begins. A task that a worker ends is not concerned.
#
# Below are the functions that the scheduler, the button "Clear" and the triggerer call, on an SQLite database.
# Fails if the second try's duration is not negative any more. Needs Python 3.11, and about 1 GB while it runs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIRFLOW_HOME=$folder AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER=$folder/dags
export AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR PYTHONWARNINGS=ignore
unset PYTHONPATH

"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check apache-airflow==3.3.2
export PATH=$folder/venv/bin:$PATH

mkdir "$folder/dags"
cat > "$folder/dags/example.py" <<'PYTHON'
from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs


class InTriggerer(BaseOperator):
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="airflow.providers.standard.triggers.temporal.TimeDeltaTrigger",
        trigger_kwargs={},
        next_method="execute_complete",
        next_kwargs=None,
        timeout=None,
    )


with DAG("example", schedule=None):
    InTriggerer(task_id="task")
PYTHON
cat > "$folder/tries.py" <<'PYTHON'
import time

from airflow import __version__
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import clear_task_instances
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TaskSuccessEvent
from airflow.utils.session import create_session


def one_try(run, dag, session):
    ti = run.get_task_instance("task", session=session)
    ti.task = dag.get_task("task")
    run.schedule_tis([ti], session=session)  # the scheduler begins the task
    assert ti.state == "deferred", ti.state
    time.sleep(0.1)
    handle_event_submit(TaskSuccessEvent(), task_instance=ti, session=session)  # the triggerer ends it
    print(f"try {ti.try_number}: {ti.start_date} to {ti.end_date}, duration {ti.duration:.3f} s")
    return ti.duration


with create_session() as session:
    run = session.query(DagRun).one()
    dag = run.dag = DBDagBag().get_dag_for_run(dag_run=run, session=session)
    run.verify_integrity(dag_version_id=run.created_dag_version_id, session=session)
    first = one_try(run, dag, session)
    time.sleep(1)
    clear_task_instances([run.get_task_instance("task", session=session)], session)
    session.flush()
    second = one_try(run, dag, session)
    print(f"Airflow {__version__}: {first:.3f} s, then {second:.3f} s")
    assert first > 0, "the first try is measured right"
    assert second < 0, "mended: the second try's end is its own"
PYTHON
airflow db migrate > "$folder/log" 2>&1 && airflow dags reserialize >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
airflow dags trigger example >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
python "$folder/tries.py"
