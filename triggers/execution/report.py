"""
A task's log as dbt users know it: pure text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cosmos_async.dbt_rules.statistics import format_bytes
from cosmos_async.exceptions import CosmosAsyncError, GuardDiffered, JobFailed
from cosmos_async.plan.model import CallOperation, JobOperation, NativeOperation, NodePlan, Step
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.triggers.google.bigquery import JobRef

WIDTH = 80  # columns; dbt's own
_POSITION = re.compile(r"\[(\d+):(\d+)\]")
_NEIGHBOURS = 8  # lines shown before and after the failing one of a long query


def describe(plan: NodePlan) -> str:
    """Return dbt's description of a node, such as ``sql table model marts.orders``."""
    relation = ".".join((plan.relation or plan.name).replace("`", "").split(".")[-2:])
    if plan.resource_type == "seed":
        return f"seed file {relation}"
    if plan.resource_type == "snapshot":
        return f"snapshot {relation}"
    if plan.batches:
        return f"sql microbatch model {relation}"
    if plan.resource_type == "model":
        return f"sql {plan.materialized or 'view'} model {relation}"
    if plan.resource_type == "source":
        return f"freshness of {plan.name}"
    return f"{plan.resource_type} {plan.name}"


def start_line(plan: NodePlan, *, number: int, total: int) -> str:
    """Return the line with which a node begins."""
    return _line(f"START {describe(plan)}", "RUN", number=number, total=total)


def end_line(plan: NodePlan, outcome: Outcome, *, number: int, total: int, job: bool = False) -> str:
    """Return the line with which a node ends; with *job*, the one to look at is behind it."""
    info, status = _words(plan, outcome)
    line = _line(info, f"{status} in {outcome.seconds:0.2f}s", number=number, total=total)
    ref = _main_job(outcome) if job else None
    return line if ref is None else f"{line} {ref}"


def several_line(count: int, what: str) -> str:
    """Return the line with which several nodes begin at once."""
    return _line(f"START {count} {what}s", "RUN", number=1, total=1)


def _main_job(outcome: Outcome) -> JobRef | None:
    job = outcome.main_job
    return None if job is None else JobRef(job.project, job.job_id, job.location or None)


def _words(plan: NodePlan, outcome: Outcome) -> tuple[str, str]:
    what = describe(plan)
    if plan.resource_type in ("test", "unit_test"):
        word = {
            Status.PASS: "PASS",
            Status.WARN: f"WARN {outcome.failures}",
            Status.FAIL: f"FAIL {outcome.failures}",
        }.get(outcome.status, "ERROR")
        return f"{word} {plan.name}", word
    if plan.resource_type == "source":
        stale = outcome.status is Status.ERROR and outcome.freshness is not None
        word = "ERROR STALE" if stale else outcome.status.value.upper()
        return f"{word} {what}", word
    if outcome.status is Status.NO_OP:
        return f"NO-OP {what}", outcome.message or "NO-OP"
    verbs = {"seed": ("loaded", "loading"), "snapshot": ("snapshotted", "snapshotting")}
    done, doing = verbs.get(plan.resource_type, ("created", "creating"))
    if outcome.status is Status.PARTIAL_SUCCESS:
        return f"PARTIALLY {done} {what}", outcome.message or ""
    if outcome.status.failed:
        return f"ERROR {doing} {what}", "ERROR"
    if plan.resource_type == "snapshot":
        what = what[len("snapshot ") :]
    return f"OK {done} {what}", outcome.message or "OK"


def _line(text: str, status: str, *, number: int, total: int) -> str:
    progress = f"{number} of {total} " if total > 1 else ""
    return f"{f'{progress}{text} '.ljust(WIDTH, '.')} [{status}]"


def sql_block(plan: NodePlan) -> str | None:
    """Return a node's compiled SQL under a headline."""
    if not plan.compiled_code:
        return None
    where = f" ({plan.file})" if plan.file else ""
    return f"Compiled SQL of {plan.unique_id}{where}:\n{plan.compiled_code.strip()}"


def submitted_line(purpose: str, ref: JobRef, *, adopted: bool) -> str:
    """Return the line that names a job."""
    verb = "attached to" if adopted else "submitted"
    return f"{verb} BigQuery job {ref} ({purpose})\n{ref.console}"


def sent_line(operation: CallOperation) -> str:
    """Return the line of a call that changes metadata, such as ``described p.shop.orders``."""
    parts = operation.path.split("/")
    subject = ".".join(parts[1::2]) if len(parts) % 2 == 0 else operation.path
    return f"{_DONE.get(operation.purpose, operation.purpose)} {subject}"


_DONE = {"drop": "dropped", "describe": "described"}


def cost(jobs: Sequence[JobRecord]) -> str | None:
    """Return what jobs took, all together; None where there are none."""
    if not jobs:
        return None
    processed = sum(job.bytes_processed or 0 for job in jobs)
    billed = sum(job.bytes_billed or 0 for job in jobs)
    slots = sum(job.slot_ms or 0 for job in jobs)
    cached = ", from cache" if all(job.cache_hit for job in jobs) else ""
    count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    return f"{count}, {_size(processed)} processed, {_size(billed)} billed, {slots / 1000:.1f} s slot time{cached}"


def _size(number: int) -> str:
    return str(format_bytes(number) or "0 Bytes")


def failure(plan: NodePlan, error: CosmosAsyncError, jobs: tuple[JobRecord, ...] = ()) -> str:
    """Return everything one needs to mend a node that failed."""
    if not isinstance(error, JobFailed):
        return f"{plan.unique_id}: {error}"
    ref = JobRef.of(error.job)
    where = f" ({plan.file})" if plan.file else ""
    lines = [
        f"{plan.unique_id}{where} failed: {error}",
        f"BigQuery job {ref} ended with {error.reason}; {_advice(error.reason)}",
        ref.console,
    ]
    sql = (error.job.get("configuration") or {}).get("query", {}).get("query")
    if sql:
        lines += ["The SQL of this job:", numbered(sql, str(error))]
    lines.append(_way_out(plan, error.reason))
    return "\n".join(lines)


def test_failure(plan: NodePlan, outcome: Outcome) -> str:
    """Return everything one needs to look into a failing or warning test."""
    where = f" ({plan.file})" if plan.file else ""
    lines = [f"{plan.unique_id}{where}: {outcome.message}"]
    ref = _main_job(outcome)
    if ref is not None:
        lines += [f"BigQuery job {ref} has counted them.", ref.console]
    if plan.compiled_code:
        lines += ["This query, the test's compiled SQL, shows the failing rows:", plan.compiled_code.strip()]
    if plan.relation:
        lines.append(f"The failing rows are kept: select * from `{plan.relation}`")
    return "\n".join(lines)


def numbered(sql: str, message: str = "") -> str:
    """Return *sql* with line numbers; of a long text only what surrounds the ``[line:column]`` in *message*."""
    lines = sql.splitlines()
    found = _POSITION.search(message)
    failing = int(found.group(1)) if found else None
    first, last = 1, len(lines)
    if failing is not None and len(lines) > 4 * _NEIGHBOURS:
        first, last = max(1, failing - _NEIGHBOURS), min(len(lines), failing + _NEIGHBOURS)
    width = len(str(last))
    shown = [
        f"{'>' if number == failing else ' '} {number:>{width}} | {lines[number - 1]}"
        for number in range(first, last + 1)
    ]
    if first > 1:
        shown.insert(0, f"  … {first - 1} lines above")
    if last < len(lines):
        shown.append(f"  … {len(lines) - last} lines below")
    return "\n".join(shown)


def differed(error: GuardDiffered, *, again: bool, written: Sequence[Step] = ()) -> str:
    """
    Return what a person has to know of a plan that does not fit.

    Args:
        error: Which read differed, and how.
        again: Whether it was a plan that a worker had made a moment ago.
        written: What had been done before that, and will not be done a second time.
    """
    what_next = (
        "Real dbt runs the node on a worker."
        if again
        else "A worker plans the node anew, for what is there now; then it goes on here."
    )
    kept = f" What has been written stays as it is ({_listed(written)})." if written else ""
    return f"{error}. Nothing more of this plan is written.{kept} {what_next}"


def written_in_part(reason: str, written: Sequence[Step] = (), *, why: str | None = None) -> str:
    """
    Return why a node fails that can neither go on nor begin once more.

    Args:
        reason: What stopped it, a sentence.
        written: What had been done before that, where it is known.
        why: Why it has no new plan, a sentence, where one was tried.
    """
    done = f"this had been written: {_listed(written)}" if written else "it had been written in part"
    tried = f" It cannot be planned anew to go on from there: {why}" if why else ""
    return (
        f"{reason} By then {done}.{tried} Neither a new plan nor real dbt could go on from here without writing it a second "
        "time, so nothing more is written. Look at what is there; then clear the setup task together with this one: the "
        "node begins from its beginning, as it would with `dbt retry`."
    )


def _listed(written: Sequence[Step]) -> str:
    return ", ".join(dict.fromkeys(map(_word, written)))


def _word(step: Step) -> str:
    if isinstance(step, NativeOperation):
        return step.kind.value.replace("_", " ")
    assert isinstance(step, (JobOperation, CallOperation))
    return step.purpose


_ADVICE = {
    "invalidQuery": "a retry would fail the same way.",
    "invalid": "a retry would fail the same way.",
    "notFound": "nothing was written.",
    "accessDenied": "nothing was written.",
    "stopped": "it was cancelled.",
    "quotaExceeded": "a quota of the project is used up.",
    "bytesBilledLimitExceeded": "it would have read more than maximum_bytes_billed allows.",
    "resourcesExceeded": "the query needs more resources than it can get.",
    "rateLimitExceeded": "a retry may help.",
    "backendError": "a retry may help.",
    "internalError": "a retry may help.",
    "timeout": "it took longer than its job timeout allows.",
}


def _advice(reason: str | None) -> str:
    return _ADVICE.get(reason or "", "see Google's message above.")


def _way_out(plan: NodePlan, reason: str | None) -> str:
    if reason in ("rateLimitExceeded", "backendError", "internalError"):
        return "Clear this task to try again, or give it retries."
    if reason == "stopped":
        return "Clear this task to run it again."
    if reason == "accessDenied":
        return "Give the identity of this task the missing permission, then clear this task."
    if reason in ("notFound",):
        return (
            "Check that what the SQL names exists, and that `location` in the dbt target is where the data is; "
            "then clear this task together with its setup task."
        )
    return f"Fix {plan.file or 'the node'}, then clear the setup task together with this one."
