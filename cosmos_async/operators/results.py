"""
The task after the nodes: dbt's own artifacts, on-run-end hooks, and what the run cost.

It never turns a failed run green: it is a teardown, which runs however the nodes end and does not count for the run. Where
it fails itself, the task behind it (``dbt_done_async`` in a rendered DAG) tells Airflow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import AirflowFailException, BaseOperator
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.operators.assets import announce, outlets_for
from cosmos_async.operators.plan_reuse import forget_outdated
from cosmos_async.operators.priorities import keep_seconds
from cosmos_async.operators.run_plan import (
    COMPILED_FILE,
    INDEX_FILE,
    KEPT_KEY,
    RunPlan,
    airflow_context,
    key_of,
)
from cosmos_async.plan.announcements import (
    ANNOUNCEMENTS_FILE,
    all_made,
    announcements,
    dump_announcements,
)
from cosmos_async.plan.model import Level, load_index
from cosmos_async.triggers.google.blocking import one_loop

if TYPE_CHECKING:
    from cosmos_async.dbt.invocation import DbtInvocation
    from cosmos_async.dbt.session import Dbt
    from cosmos_async.operators.setup import SetupAsyncOperator
    from cosmos_async.plan.outcome import Outcome

ARTIFACTS_KEY = "dbt_artifacts"  # of this task's XCom: the folder with run_results.json


class ResultsAsyncOperator(BaseOperator):
    """
    Tell the run in dbt's artifacts, from the nodes' outcomes, and have dbt run its on-run-end hooks.

    Args:
        setup: The setup task of the run. Give either this or the three below.
        setup_task_id: Its full id, task group included.
        identity: Who reads and writes the store.
        dbt: The invocation that was planned.
        aliases: The nodes that are announced as Airflow's assets once they are built, by unique id, each with the name of
            its alias.
        tested: Whether a node is announced only if its own tests have passed, as where one task executes both.
        kwargs: Airflow's own arguments of a task.
    """

    ui_color = "#b4e0ac"
    template_fields: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        setup: SetupAsyncOperator | None = None,
        setup_task_id: str | None = None,
        identity: dict[str, Any] | None = None,
        dbt: DbtInvocation | None = None,
        aliases: Mapping[str, str] | None = None,
        tested: bool = False,
        **kwargs: Any,
    ) -> None:
        if aliases:
            kwargs["outlets"] = [*(kwargs.get("outlets") or ()), *outlets_for(aliases.values())]
        super().__init__(**kwargs)
        if setup is not None:
            setup_task_id, identity, dbt = setup.task_id, setup.identity, setup.dbt
        if setup_task_id is None or identity is None or dbt is None:
            raise ConfigError(
                f"task {self.task_id} does not know its run: give it setup=<the SetupAsyncOperator>."
            )
        self.setup_task_id = setup_task_id
        self.identity = identity
        self.dbt = dbt
        self.aliases = dict(aliases or {})
        self.tested = tested
        self.processes: Any = None

    def execute(self, context: Any) -> None:
        """
        Write the artifacts and keep them beside the run's folder.

        Raises:
            DbtError: A hook of the run failed, or dbt could not write the artifacts; the outcomes are kept first.
            AirflowFailException: A node failed, and with ``--fail-fast`` the others were skipped. Where Airflow skips a task
                before it has heard of another's failure, the tasks behind both look as if all were well.
        """
        with one_loop():
            self._tell(context)

    def _tell(self, context: Any) -> None:
        from cosmos_async.dbt.results import tell_results

        plan = RunPlan(self, context)
        found = plan.record()
        index = load_index(found.index)
        hooks = {hook.unique_id: hook for hook in index.hooks}
        outcomes = {
            unique_id: outcome
            for unique_id, outcome in found.outcomes.items()
            if unique_id in index.nodes or unique_id in hooks
        }
        # First of all: whatever goes wrong below, what became of the nodes is not lost with the teardown.
        # The rest serves tasks that are cleared then.
        kept = {INDEX_FILE: found.index, COMPILED_FILE: found.compiled, **found.recorded}
        assets = announcements(
            index,
            outcomes,
            self.aliases,
            found.announcements if self.aliases else (),
            tested=self.tested,
        )
        if self.aliases:
            # Airflow takes the events of a task that succeeds. If this one fails, the teardown announces what stands here.
            kept[ANNOUNCEMENTS_FILE] = dump_announcements(assets)
        folder = plan.keep_artifacts(kept, outcomes.values(), run=index.run)
        context["ti"].xcom_push(key=KEPT_KEY, value=index.run.nonce)
        self._report(outcomes, skipped=[unique_id for unique_id in index.nodes if unique_id not in outcomes])
        forget_outdated(self, context, plan.address.folder, index, outcomes.values())
        told = tell_results(
            index,
            outcomes,
            recorded=found.recorded,
            compiled_code=json.loads(found.compiled),
            parsed=lambda: plan.parsed_or_none(index.run),
            open_dbt=lambda: self._open_dbt(context),
            tell=self.log.info,
        )
        plan.keep_artifacts(told.files, outcomes.values(), run=index.run)
        keep_seconds(plan.address.folder, index.run, outcomes.values(), self)
        context["ti"].xcom_push(key=ARTIFACTS_KEY, value=folder)
        self.log.info("dbt's artifacts of this run: %s", folder)
        if told.failure is not None:
            raise told.failure
        failed = [outcomes[name] for name in hooks if name in outcomes and outcomes[name].status.failed]
        if failed:
            # As in dbt, the nodes were executed all the same.
            raise DbtError(f"An on-run-start hook failed: {failed[0].message}")
        stopped_by = plan.failed_task(key_of(context["ti"])) if index.run.fail_fast else None
        if stopped_by is not None:
            raise AirflowFailException(f"{stopped_by} has failed, and --fail-fast has stopped the run there.")
        if assets:
            announce(self, context, assets)
            plan.keep(ANNOUNCEMENTS_FILE, dump_announcements(all_made(assets)))

    @contextmanager
    def _open_dbt(self, context: Any) -> Iterator[Dbt]:
        from cosmos_async.dbt.process import Processes, to_log
        from cosmos_async.dbt.session import open_dbt

        self.processes = Processes(to_log(self.log))
        invocation = self.dbt.rendered(self, context)
        # Its packages are needed only if the project has to be parsed.
        with open_dbt(invocation, self.processes, context=airflow_context(context), packages=False) as dbt:
            yield dbt

    def on_kill(self) -> None:
        """End the dbt process."""
        if self.processes is not None:
            self.processes.terminate()

    def _report(self, outcomes: dict[str, Outcome], *, skipped: list[str]) -> None:
        for outcome in sorted(outcomes.values(), key=lambda found: found.started_at):
            level = outcome.level
            how = "" if level is Level.STATIC else f"  level {level.value} ({level.word}): {outcome.reason}"
            self.log.info(
                "%-7s %s  %s%.1f s%s",
                outcome.status.value,
                outcome.unique_id,
                f"{outcome.message}  " if outcome.message else "",
                outcome.seconds,
                how,
            )
        for unique_id in sorted(skipped):
            self.log.info("%-7s %s", "skipped", unique_id)
        counts = Counter(outcome.status.value for outcome in outcomes.values())
        if skipped:
            counts["skipped"] += len(skipped)
        jobs = [job for outcome in outcomes.values() for job in outcome.jobs]
        self.log.info(
            "%s; %d BigQuery jobs, %.1f MiB billed, %.1f slot seconds",
            ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no node ran",
            len(jobs),
            sum(job.bytes_billed or 0 for job in jobs) / 2**20,
            sum(job.slot_ms or 0 for job in jobs) / 1000,
        )
