"""
What our scripts share while they run in dbt's own interpreter: their command line, their end, and dbt's start.
"""

# mypy: disable-error-code=import-not-found
from __future__ import annotations

import datetime
import logging
import os
import signal
import stat
import sys
import threading
from typing import Any

SEPARATOR = "--"
SECONDS_TO_CANCEL = 10.0


def follow_parent() -> None:
    """Interrupt dbt, which then cancels its queries, once the process at the other end of our input is gone."""
    # SIGTERM would end Python without a word to BigQuery, and what a script starts with & ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return  # started by hand

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(SECONDS_TO_CANCEL)
        os._exit(130)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()


def hide_location_lookups() -> None:
    """
    Keep warnings off the log that are no one's concern where Google's public API cannot be reached.

    google-auth asks it on the side where an account's data may be, does without the answer, and urllib3 warns of each
    attempt.
    """

    def concerns_somebody(record: logging.LogRecord) -> bool:
        return "/allowedLocations" not in record.getMessage()

    logging.getLogger("urllib3.connectionpool").addFilter(concerns_somebody)


def split(arguments: list[str], option: str, *more: str) -> tuple[dict[str, str], list[str]]:
    """
    Return the values of our own options and dbt's own arguments, which follow after ``--``.

    Args:
        arguments: The command line.
        option: The option that must be there.
        more: Those that may be.
    """
    at = arguments.index(SEPARATOR) if SEPARATOR in arguments else 0
    options = dict(zip(arguments[:at:2], arguments[1:at:2]))
    if at % 2 or option not in options or not set(options).issubset((option, *more)):
        others = "".join(f" [{name} FILE]" for name in more)
        raise SystemExit(f"usage: {option} FILE{others} {SEPARATOR} DBT_ARGUMENTS...")
    return options, arguments[at + 1 :]


def render_start_hooks(task: Any, failed: frozenset[str] = frozenset()) -> None:
    """
    Let dbt's memory be as on-run-start hooks left it, as far as that is done by rendering and reading.

    Packages put things into ``graph`` there for their tests and their on-run-end hooks. The hooks have done their work
    on the warehouse before, in another process: whatever one would send now ends its rendering.

    Args:
        task: dbt's RunTask, before its first node or after its last one.
        failed: Hooks that failed. dbt has not rendered those behind them.
    """
    import copy

    from dbt.node_types import RunHookType
    from dbt_common.exceptions import DbtRuntimeError
    from google.auth.transport.requests import AuthorizedSession

    need(AuthorizedSession, "request")
    send = AuthorizedSession.request

    def reading(session: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method.upper() not in ("GET", "HEAD"):
            raise DbtRuntimeError("on-run-start hooks have done their work already")
        return send(session, method, *args, **kwargs)

    AuthorizedSession.request = reading
    try:
        for hook in task.get_hooks_by_type(RunHookType.Start):
            if hook.unique_id in failed:
                return
            try:
                # A copy, as the run's results may have this one, with the code that was run.
                task.compiler.compile_node(copy.copy(hook), task.manifest, {}, write=False)
            except Exception as error:  # what was put down until then is there, and more cannot be had
                print(f"[cosmos-async] {hook.unique_id} was rendered again up to: {error}", flush=True)  # noqa: T201
    finally:
        AuthorizedSession.request = send


def need(owner: Any, *names: str) -> None:
    """
    Make sure that dbt has what is about to be replaced.

    Raises:
        SystemExit: This dbt is built differently from those we know.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        from dbt.version import __version__

        raise SystemExit(
            f"Error: dbt-core {__version__} has no {owner.__name__}.{missing[0]}, which cosmos-async relies on. "
            "Install a dbt-core between 1.9 and 1.12 for this project."
        )


def import_client() -> None:
    """
    Import Google's client without pandas and pyarrow, which it then does not offer rows in.

    dbt never asks for them, and importing them is a sixth of dbt's start. Whoever imports them later gets them.
    """
    unneeded = [name for name in ("pandas", "pyarrow") if name not in sys.modules]
    for name in unneeded:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it fails
    try:
        import google.cloud.bigquery  # noqa: F401
    finally:
        for name in unneeded:
            del sys.modules[name]


def pin_invocation(invocation_id: str | None, started_at: str | None) -> None:
    """
    Make this dbt part of an earlier invocation: its id, and its ``run_started_at``.

    Args:
        invocation_id: The id that the run's jobs carry as a label; None leaves dbt's own.
        started_at: UTC, ISO 8601; None leaves dbt's own.
    """
    import dbt_common.invocation as invocation
    from dbt import tracking
    from dbt.cli import requires

    need(invocation, "_INVOCATION_ID", "_INVOCATION_STARTED_AT", "reset_invocation_id")
    need(requires, "reset_invocation_id")
    need(tracking, "User")
    at = None if started_at is None else parse_time(started_at)

    def reset() -> None:
        invocation._INVOCATION_ID = invocation_id or invocation._INVOCATION_ID
        invocation._INVOCATION_STARTED_AT = at or invocation._INVOCATION_STARTED_AT

    invocation.reset_invocation_id = reset
    # It is imported there by name, and called once per invocation.
    requires.reset_invocation_id = reset
    if at is not None:
        original = tracking.User.__init__

        def begin(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            # dbt's own type and zone for it; projects call its methods.
            self.run_started_at = self.run_started_at.replace(
                year=at.year,
                month=at.month,
                day=at.day,
                hour=at.hour,
                minute=at.minute,
                second=at.second,
                microsecond=at.microsecond,
            )

        tracking.User.__init__ = begin
        _pin_sample(at)
    reset()


def _pin_sample(at: datetime.datetime) -> None:
    """Let ``--sample "3 days"`` end when the invocation began, for every process that has a part in it."""
    try:
        from dbt.event_time import sample_window
    except ImportError:  # before dbt 1.10 there is no --sample
        return
    need(sample_window, "SampleWindow", "datetime")
    need(sample_window.SampleWindow, "from_relative_string")
    original = sample_window.SampleWindow.from_relative_string.__func__

    class Begun(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return at.replace(tzinfo=datetime.timezone.utc).astimezone(tz)

    def from_relative_string(cls: Any, text: str) -> Any:
        now, sample_window.datetime = sample_window.datetime, Begun
        try:
            return original(cls, text)
        finally:
            sample_window.datetime = now

    sample_window.SampleWindow.from_relative_string = classmethod(from_relative_string)


def end_where_a_thread_fails() -> None:
    """
    End the process where one of dbt's threads raises what dbt does not expect.

    dbt would wait for that node for ever: nobody takes the error of a node's thread (``dbt/task/runnable.py``).
    """
    from multiprocessing.pool import ThreadPool

    apply_async = ThreadPool.apply_async

    def applying(
        pool: Any,
        func: Any,
        args: Any = (),
        kwds: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> Any:
        return apply_async(pool, func, args, kwds or {}, callback, error_callback or _end)

    ThreadPool.apply_async = applying  # type: ignore[assignment,method-assign]


def _end(error: BaseException) -> None:
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    print(f"Error: dbt was stopped by an error in one of its threads: {error}\n{text}", flush=True)  # noqa: T201
    os._exit(2)


def parse_time(text: str) -> datetime.datetime:
    """Return a point in time as dbt keeps them: UTC, without a zone."""
    # Before Python 3.11, fromisoformat knows no Z.
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is not None:
        at = at.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return at


def run_dbt(arguments: list[str], manifest: Any = None) -> None:
    """
    Run dbt's command line as its own script does; it ends the process.

    Args:
        arguments: dbt's own.
        manifest: The project, where it has been parsed already.
    """
    from dbt.cli.main import cli

    hide_location_lookups()
    # dbt writes it into its artifacts as the invocation's command.
    sys.argv = ["dbt", *arguments]
    cli(obj={} if manifest is None else {"manifest": manifest})
