"""Late nodes that are recorded side by side: each finds what it has changed itself, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.scripts.recording.overlay import Overlay

MAKER, READER = "model.shop.maker", "model.shop.reader"
MADE, READ = ("p", "shop", "maker"), ("p", "shop", "reader")


class Recorded:
    """An overlay, and the node that is recorded just now."""

    def __init__(self, *, late: bool) -> None:
        self.node = MAKER
        self.overlay = Overlay("p", late=late, node=lambda: self.node)
        self.overlay.built = {MADE: MAKER, READ: READER}

    def makes(self) -> None:
        """Let the first node make its table, without rows."""
        sql = "create table `p`.`shop`.`maker` as select 1 as id limit 0"
        self.overlay.apply(sql, by=MAKER, dry_run=lambda _: [{"name": "id"}], exists=lambda _: False)

    def finds(self, node: str) -> list[Any]:
        """Return what a node finds of that."""
        self.node = node
        overlay = self.overlay
        described = overlay.why_not_now("select * from shop.INFORMATION_SCHEMA.TABLES", reader=node)
        return [
            overlay.change(MADE) is not None,
            overlay.is_empty(MADE),
            overlay.writer(MADE, reader=node),
            overlay.writer(("p", "shop", "mak*"), reader=node),
            described is not None,
            overlay.why_no_listing(MADE[:2], reader=node) is not None,
            overlay.unchanged,
        ]


def test_a_late_node_does_not_find_what_another_one_would_change() -> None:
    """It is as it would be alone: that one has done nothing yet."""
    recorded = Recorded(late=True)
    before = recorded.finds(READER)
    recorded.node = MAKER

    recorded.makes()

    assert recorded.finds(READER) == before == [False, False, None, None, False, False, True]


def test_a_late_node_finds_what_it_has_changed_itself() -> None:
    """As a node does that is planned with its run."""
    late, early = Recorded(late=True), Recorded(late=False)
    late.makes()
    early.makes()

    assert late.finds(MAKER) == early.finds(MAKER) == [True, True, MAKER, MAKER, True, True, False]


@pytest.mark.parametrize("late", [True, False])
def test_what_other_nodes_build_is_known_before_the_run_only(late: bool) -> None:
    """For a late node it is built, or is not before it."""
    recorded = Recorded(late=late)

    why = recorded.overlay.why_not_now("select count(*) from shop.maker", reader=READER)

    assert (why is None) is late
