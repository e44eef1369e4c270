"""
What a part of a run knows of the warehouse: what dbt's cache would know at this moment of the run's own process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.dbt.scripts.partial_invocation import _restore, relations_of


class Kind(Enum):
    """As dbt's adapters have it."""

    TABLE = "table"
    VIEW = "view"


@dataclass(frozen=True)
class Relation:
    """As dbt's adapters have it, as far as its cache needs it."""

    database: str
    schema: str
    identifier: str
    type: Kind | None

    @classmethod
    def create(cls, *, type: str, quote_policy: Any, **parts: str) -> Relation:
        return cls(**parts, type=Kind(type))


class Cache:
    """dbt's, in small."""

    def __init__(self, schemas: set[tuple[str, str]], found: list[Relation]) -> None:
        self.lock = threading.RLock()
        self.schemas = schemas
        self.relations = {one.identifier: SimpleNamespace(inner=one) for one in found}

    def __contains__(self, schema: tuple[str, str]) -> bool:
        return (schema[0].lower(), schema[1].lower()) in self.schemas


class Adapter:
    """One that has just listed the dataset ``p.Shop``."""

    Relation = Relation

    def __init__(self, now: dict[str, str]) -> None:
        self.cache = Cache(
            {("p", "shop")}, [Relation("p", "Shop", name, Kind(kind)) for name, kind in now.items()]
        )

    def cache_dropped(self, relation: Relation) -> None:
        del self.cache.relations[relation.identifier]

    def cache_added(self, relation: Relation) -> None:
        self.cache.relations.setdefault(relation.identifier, SimpleNamespace(inner=relation))


CASES = {
    "a table that was there stays": ({"t": "table"}, {"t": "table"}, {"t": "table"}, {"t": "table"}),
    "a node's table is there once it is built": ({}, {"t": "table"}, {"t": "table"}, {"t": "table"}),
    "a node's table is not there before": ({}, {"t": "table"}, {}, {}),
    "a hook's table is not there": ({}, {}, {"t": "table"}, {}),
    "a hook's drop is not known": ({"t": "table"}, {"t": "table"}, {}, {"t": "table"}),
    "a hook's other type is not known": ({"t": "table"}, {"t": "table"}, {"t": "view"}, {"t": "table"}),
    "a node's drop is known once it is done": ({"t": "table"}, {}, {}, {}),
    "a node's drop is not known before": ({"t": "table"}, {}, {"t": "table"}, {"t": "table"}),
    "a node's other type is known once it is there": (
        {"t": "table"},
        {"t": "view"},
        {"t": "view"},
        {"t": "view"},
    ),
    "a node's other type is not known before": (
        {"t": "table"},
        {"t": "view"},
        {"t": "table"},
        {"t": "table"},
    ),
}


def known(kinds: dict[str, str]) -> list[list[str]]:
    return [["p", "Shop", name, kind] for name, kind in kinds.items()]


def restored(now: dict[str, str], **kept: Any) -> dict[str, str]:
    """Return what dbt knows in the end."""
    adapter = Adapter(now)
    _restore(adapter, {"schemas": [["p", "shop"]], "start": [], "end": [], "open": [], **kept})
    return {name: kind for _, _, name, kind in relations_of(adapter)}


@pytest.mark.parametrize("case", CASES)
def test_dbt_knows_what_it_listed_and_what_nodes_have_told_it(case: str):
    """
    At the beginning of the run, in its end, now: and what dbt knows now.
    """
    start, end, now, expected = CASES[case]

    assert restored(now, start=known(start), end=known(end)) == expected


@pytest.mark.parametrize("now", [{}, {"t": "view"}])
def test_of_what_could_not_be_foretold_the_warehouse_tells(now: dict[str, str]):
    """
    A node that was left to its turn has built what it builds, or has not.
    """
    assert (
        restored(now, start=known({"t": "table"}), end=known({"t": "table"}), open=[["p", "Shop", "t"]])
        == now
    )
    assert restored(now, open=[["p", "Shop", "t"]]) == now


def test_a_dataset_that_was_not_listed_is_as_it_is_found():
    """
    The run's own dbt would list it when it is first asked about it, too.
    """
    assert restored({"t": "table"}, schemas=[]) == {"t": "table"}
