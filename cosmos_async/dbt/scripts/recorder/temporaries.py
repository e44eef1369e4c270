"""Names of temporary relations, which dbt makes of the time of day: kept, so that another run gives them new ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .session import Recording

_TIME_OF_DAY = re.compile(r"\d{12}$")  # ``%H%M%S%f``


class Temporaries:
    """Keeps the names that dbt's own macro makes."""

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._node = recording.context.node

    def name(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Let dbt's macro make a relation's name; that it asks for the time then is no use of the clock."""
        with self._journal.while_doing(naming=True):
            relation = call(*args, **kwargs)
        base = args[0] if args else kwargs["base_relation"]
        named = str(relation.identifier)
        if _TIME_OF_DAY.search(named) and not _TIME_OF_DAY.search(str(base.identifier)):
            self._journal.name_temporary(self._node(), named)
        return relation
