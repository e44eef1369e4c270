"""
What nodes leave for one another in dbt's memory: in ``graph``, or in a variable that is a list or a mapping.

All nodes of a run share these, and templates may change them. A plan tells nothing of it, so the plan of such a run serves no
other one, in which some nodes may be planned apart from the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..common import need
from ..recording.journal import GRAPH, RUN, VARIABLE, Journal

#: Methods that change a list or a dict.
CHANGES = frozenset(
    (
        "append",
        "clear",
        "extend",
        "insert",
        "pop",
        "popitem",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    )
)
#: What dbt itself puts into ``graph``; its values are as many as the project has nodes.
_DBTS_OWN = frozenset(
    ("nodes", "sources", "exposures", "groups", "metrics", "semantic_models", "saved_queries", "functions")
)


class SharedMemory:
    """
    Notices who changes what all nodes share, and who may look at it then.

    Args:
        journal: Where it is noted.
        node: Returns the node that is being compiled or executed.
        used: Notes what the node uses.
    """

    def __init__(self, journal: Journal, node: Callable[[], str], *, used: Callable[[str], None]) -> None:
        self._journal = journal
        self._node = node
        self._used = used
        self.graph: Any = None  #: as templates see it
        self._variables: dict[
            int, Any
        ] = {}  # lists and dicts that ``var`` gave, and what is in them, by identity
        self._of_dbt: dict[int, Any] = {}  # likewise, what dbt itself has put into ``graph``
        self._changed = False  # whether a node has changed a variable

    def install(self) -> None:
        """Put it in place."""
        from dbt.context.base import Var

        need(Var, "__call__", "has_var")
        call = Var.__call__

        @functools.wraps(call)
        def giving(var: Any, var_name: str, *args: Any, **kwargs: Any) -> Any:
            found = call(var, var_name, *args, **kwargs)
            if isinstance(found, (dict, list)) and var.has_var(var_name):  # a default is the template's own
                _reach(found, self._variables)
                if self._changed:
                    self._used(VARIABLE)
            return found

        Var.__call__ = giving

    def is_changed(self, owner: Any) -> None:
        """Note that a template looks for a method that changes *owner*."""
        unique_id = self._node()
        if unique_id == RUN or unique_id.startswith("operation.") or not isinstance(owner, (dict, list)):
            return  # what hooks leave there is kept for others
        if id(owner) in self._variables:
            self._changed = True
            self._leaves(unique_id, VARIABLE)
        elif self._journal.once is None and self._is_of_graph(owner, unique_id):
            self._leaves(unique_id, GRAPH)

    def _leaves(self, unique_id: str, where: str) -> None:
        self._used(where)
        self._journal.use_once(f"{unique_id} changes {where.split(',')[0]}, which other nodes see")

    def _is_of_graph(self, owner: Any, unique_id: str) -> bool:
        if unique_id not in self._journal.remembering or not isinstance(self.graph, dict):
            return False
        if not self._of_dbt:
            _reach({key: each for key, each in self.graph.items() if key in _DBTS_OWN}, self._of_dbt)
        if owner is self.graph or id(owner) in self._of_dbt:
            return True
        found: dict[int, Any] = {}
        _reach({key: each for key, each in self.graph.items() if key not in _DBTS_OWN}, found)
        return id(owner) in found


def _reach(value: Any, found: dict[int, Any]) -> None:
    """Add a list or dict, and all that are in it, by identity."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, list)) and id(each) not in found:
            found[id(each)] = each
            waiting += each.values() if isinstance(each, dict) else each
