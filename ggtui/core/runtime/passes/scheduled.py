"""Graphs whose nodes have their places in time and memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Tensor


@dataclass
class ScheduledDag(Dag):
    """A Dag as a device runs it: its nodes in the order of their phases.

    phase   of each node: between two phases what was written must be there for all
    every   nodes that every thread does, for itself; by_head: nodes that need no barrier where threads have as many
            heads each. The CPU's alone
    offsets where each computed tensor lies in the arena; own: in each thread's scratch; set by the allocate pass
    """

    phase: dict[Node, int] = field(default_factory=dict)
    every: set[Node] = field(default_factory=set)
    by_head: set[Node] = field(default_factory=set)
    offsets: dict[Tensor, int] = field(default_factory=dict)
    own: dict[Tensor, int] = field(default_factory=dict)
    arena_bytes: int = 0
    own_bytes: int = 0
