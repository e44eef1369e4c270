"""
The node plans of one index as one object: JSON Lines, a line per node.

Pure. A run may have thousands of nodes, and each object costs a request to write, to read and to delete. The index says where
each node's line is, and its SHA-256, so that one may be read without the others and is checked alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from cosmos_async.plan.model import Index
from cosmos_async.plan.store import nodes_object


def pack(index: Index, plans: Mapping[str, bytes]) -> tuple[Index, dict[str, bytes]]:
    """
    Return the index, complete with where its nodes' plans are, and the object that they are in, by its name in the store.

    Args:
        index: What the run knows of its nodes.
        plans: What is stored of each node, by unique id, see :func:`cosmos_async.plan.model.dump_node`.
    """
    nodes, lines, offset = {}, [], 0
    for unique_id, entry in index.nodes.items():
        data = plans[unique_id]
        digest = hashlib.sha256(data).hexdigest()
        nodes[unique_id] = replace(entry, digest=digest, offset=offset, length=len(data))
        lines.append(data + b"\n")
        offset += len(lines[-1])
    packed = b"".join(lines)
    digest = hashlib.sha256(packed).hexdigest()
    return replace(index, nodes=nodes, plans=digest), {nodes_object(digest): packed}


def unpack(index: Index, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """
    Return what is stored of each node, by unique id.

    Args:
        index: Of a plan.
        objects: The plan's, by their names in the store.
    """
    packed = objects[nodes_object(index.plans)]
    return {
        unique_id: packed[entry.offset : entry.offset + entry.length]
        for unique_id, entry in index.nodes.items()
    }
