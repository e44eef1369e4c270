"""Which sources become tasks that measure freshness: Cosmos' rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos_async.constants import SourceRenderingBehavior
from cosmos_async.graph.model import Graph, Source

if TYPE_CHECKING:
    from cosmos_async.config import RenderConfig


def rendered_sources(graph: Graph, config: RenderConfig) -> dict[str, Source]:
    """
    Return the sources that have a task for their freshness, by unique id.

    Args:
        graph: What is selected. A source counts only if it is selected itself, as with ``select=["+orders"]``.
        config: With ``source_rendering_behavior`` and ``source_pruning``.
    """
    behavior = config.source_rendering_behavior
    if behavior in (SourceRenderingBehavior.NONE, None):
        return {}
    return {
        unique_id: source
        for unique_id, source in graph.sources.items()
        if (source.is_read or not config.source_pruning)
        and (
            behavior is SourceRenderingBehavior.ALL
            or source.has_freshness
            or unique_id in graph.tested_sources
        )
    }
