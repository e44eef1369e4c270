"""The dbt project as a DAG needs it: nodes, their order, and which tests belong where."""

from __future__ import annotations

from cosmos_async.graph.dbt_node import DbtGraph, DbtNode
from cosmos_async.graph.load import load_graph
from cosmos_async.graph.model import Graph, Node, Test

__all__ = ["DbtGraph", "DbtNode", "Graph", "Node", "Test", "load_graph"]
