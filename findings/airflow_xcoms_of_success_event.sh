#!/usr/bin/env bash
# Airflow 3.3.2: an XCom that a trigger leaves by its TaskSuccessEvent comes back as JSON text.
#
# `TaskSuccessEvent(xcoms={...})` ends a task in the triggerer with XComs. Airflow writes them by `TaskInstance.xcom_push`, which
# encodes each value as JSON, into a column that is JSON itself. A task that pulls one by the Task SDK gets the text: of a string
# with quotation marks, of a dictionary its JSON. What the Task SDK itself pushes comes back as it was.
#
# Below are the function by which the triggerer submits the event, and a task that pulls, on an SQLite database.
# Seen: 'https://example.com/jobs/7' comes back as '"https://example.com/jobs/7"', {'rows': 7} as '{"rows": 7}'.
# Fails if they come back as they were. Needs Python 3.11, and about 1 GB while it runs.
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
import json
import os

from airflow.sdk import DAG, BaseOperator, task
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


with DAG("writer", schedule=None):
    InTriggerer(task_id="task")

with DAG("reader", schedule=None):

    @task
    def read(ti=None):
        where = {"dag_id": "writer", "task_ids": "task", "run_id": os.environ["WRITER_RUN"]}
        found = {key: ti.xcom_pull(key=key, **where) for key in ("link", "job")}
        with open(os.path.join(os.environ["AIRFLOW_HOME"], "found.json"), "w") as file:
            json.dump(found, file)

    read()
PYTHON
cat > "$folder/write.py" <<'PYTHON'
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TaskSuccessEvent
from airflow.utils.session import create_session

with create_session() as session:
    run = session.query(DagRun).one()
    dag = run.dag = DBDagBag().get_dag_for_run(dag_run=run, session=session)
    run.verify_integrity(dag_version_id=run.created_dag_version_id, session=session)
    ti = run.get_task_instance("task", session=session)
    ti.task = dag.get_task("task")
    run.schedule_tis([ti], session=session)  # the scheduler begins the task
    xcoms = {"link": "https://example.com/jobs/7", "job": {"rows": 7}}
    handle_event_submit(TaskSuccessEvent(xcoms=xcoms), task_instance=ti, session=session)
    print(run.run_id)
PYTHON
cat > "$folder/compare.py" <<'PYTHON'
import json
import os

from airflow import __version__

with open(os.path.join(os.environ["AIRFLOW_HOME"], "found.json")) as file:
    found = json.load(file)
print(f"Airflow {__version__}: pulled {found['link']!r} and {found['job']!r}")
assert found == {"link": '"https://example.com/jobs/7"', "job": '{"rows": 7}'}, "mended: they come back as they were"
PYTHON
airflow db migrate > "$folder/log" 2>&1 && airflow dags reserialize >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
airflow dags trigger writer >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
WRITER_RUN=$(python "$folder/write.py" | tail -1)
export WRITER_RUN
airflow dags test reader >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
python "$folder/compare.py"
