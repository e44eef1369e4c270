"""Tables and datasets: read now and compared later, or foretold; changes are written down."""

from __future__ import annotations

from typing import Any

from . import answers, sql
from .calls import Call
from .node_context import NodeContext

_TABLE_FIELDS = ("type", "schema", "timePartitioning", "rangePartitioning", "clustering")
_SETTINGS = (
    "materializedView",
    "maxStaleness",
    "expirationTime",
    "encryptionConfiguration",
    "description",
    "labels",
    "resourceTags",
)


class Tables:
    """
    Answers what is asked of tables and datasets.

    Args:
        context: Of the node that asks.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._journal = context.journal
        self._overlay = context.overlay

    def get(self, call: Call) -> Any:
        """Return a table that is no query's result."""
        path, url = call.table, call.url
        if self._journal.doing("blind"):  # dbt asks, but does not look at the answer
            return answers.reply(answers.table(path), url=url)
        altering = self._journal.doing("altering")
        if altering is not None and altering.path == path:
            return self._get_altered(call, altering)
        unique_id = self._context.node()
        change = self._overlay.change(path)
        if change is None:
            answer = call.forward()
            if answer.status_code == 404:
                self._saw_table(unique_id, path, None, predicted=False)
            elif answer.status_code < 300:
                self._saw_table(unique_id, path, answer.json(), predicted=False)
            return answer
        if not change.exists:
            self._saw_table(unique_id, path, None, predicted=True)
            return answers.not_found(f"Table {path[0]}:{path[1]}.{path[2]}", url)
        if self._journal.doing("layout"):
            leave = self._context.leave_to_dbt if change.by == unique_id else self._context.leave_for_later
            leave(f"It asks how {'.'.join(path)} is partitioned, which this run builds first ({change.by}).")
        fields = change.columns()
        if fields is None:
            if change.by == unique_id:
                self._context.leave_to_dbt(
                    f"It reads the columns of {'.'.join(path)}, which it changes itself."
                )
            reason = f"It reads the columns of {'.'.join(path)}, which this run builds first ({change.by})."
            assumed, answer = self._context.assume(reason), call.forward()
            if answer.status_code >= 300:
                self._context.leave_for_later(reason)
            self._saw_table(unique_id, path, answer.json(), predicted=False, assumed=assumed)
            return answer
        resource = answers.table(path, kind=change.kind, fields=fields)
        self._saw_table(unique_id, path, resource, predicted=True)
        return answers.reply(resource, url=url)

    def _get_altered(self, call: Call, altering: Any) -> Any:
        """Answer with a table that dbt is about to write back: it has read the columns before, so they have a guard."""
        if altering.before is None:
            change = self._overlay.change(altering.path)
            if change is None:
                answer = call.forward()
                if answer.status_code >= 300:
                    return answer
                altering.before = (answer.json().get("schema") or {}).get("fields") or []
            else:
                altering.before = change.columns()
            if altering.before is None:
                self._context.leave_to_dbt("It changes columns of its table that cannot be foretold.")
            return answers.reply(answers.table(altering.path, fields=altering.before), url=call.url)
        return answers.reply(answers.table(altering.path, fields=altering.now()), url=call.url)

    def _saw_table(
        self, unique_id: str, path: sql.Path, resource: Any, *, predicted: bool, assumed: str | None = None
    ) -> None:
        settings = bool(self._journal.doing("settings"))
        if settings and predicted:
            self._context.leave_to_dbt(
                f"It looks at the settings of {'.'.join(path)}, which it changes first."
            )
        fields = (*_TABLE_FIELDS, *_SETTINGS) if settings else _TABLE_FIELDS
        answer = resource and {name: resource[name] for name in fields if name in resource}
        kind = "settings" if settings else "table"
        self._journal.add(
            unique_id, kind, path=list(path), answer=answer, predicted=predicted, assumed=assumed
        )

    def get_dataset(self, call: Call) -> Any:
        """Return BigQuery's answer for a dataset, after noting it."""
        path = (call.parts[1], call.parts[3])
        answer = call.forward()
        if answer.status_code < 300 or answer.status_code == 404:
            found = None if answer.status_code == 404 else {"location": answer.json().get("location")}
            self._journal.add(self._context.node(), "dataset", path=list(path), answer=found)
        return answer

    def change(self, call: Call) -> Any:
        """Answer a change of a table or a dataset, which is written down and not sent."""
        unique_id, method, path, parts, url = (
            self._context.node(),
            call.method,
            call.path,
            call.parts,
            call.url,
        )
        body = call.document if call.data else None
        altering = self._journal.doing("altering")
        written = (body or {}).get("schema") if method == "PATCH" else None
        if altering is not None and written and tuple(parts[1::2]) == altering.path:
            altering.fields = written["fields"]
            return answers.reply(answers.table(altering.path, fields=altering.fields), url=url)
        self._journal.add(
            unique_id,
            "call",
            method=method,
            path=path,
            body=body,
            missing_ok=bool(self._journal.doing("missing_ok")),
        )
        if len(parts) == 6:
            table = (parts[1], parts[3], parts[5])
            if method == "DELETE":
                self._overlay.note(table, by=unique_id, exists=False)
            else:
                if "schema" in (body or {}) or method != "PATCH":
                    self._context.leave_to_dbt(
                        f"It changes the columns of {'.'.join(table)} after reading them."
                    )
                return answers.reply(answers.table(table), url=url)
        else:
            self._context.leave_to_dbt(f"It changes the dataset {'.'.join(parts[1:4:2])} itself.")
        return answers.reply(None if method == "DELETE" else {}, url=url)
