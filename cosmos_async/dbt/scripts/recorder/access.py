"""``grant_access_to``: the entry is recorded, the dataset's list is read when it is changed."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .session import Recording


def record_access(adapter: Any, recording: Recording) -> None:
    """Let the adapter's ``grant_access_to`` record what it would put into the list."""
    from dbt.adapters.bigquery.impl import GrantTarget
    from google.cloud.bigquery import AccessEntry

    need(adapter, "grant_access_to", "get_table_ref_from_relation")
    need(GrantTarget, "validate", "from_dict")
    grant_access_to = adapter.grant_access_to

    @functools.wraps(grant_access_to)
    def granting(adapter_: Any, entity: Any, entity_type: str, role: Any, grant_target_dict: Any) -> None:
        GrantTarget.validate(grant_target_dict)
        target = GrantTarget.from_dict(grant_target_dict)
        if entity_type == "view":
            entity = adapter_.get_table_ref_from_relation(entity).to_api_repr()
        entry = AccessEntry(role, entity_type, entity).to_api_repr()
        recording.journal.add(
            recording.context.node(),
            "native",
            kind="grant_access",
            path=[target.project, target.dataset],
            payload={"entry": entry},
        )

    adapter.grant_access_to = granting
