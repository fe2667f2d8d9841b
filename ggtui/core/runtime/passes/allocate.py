"""Gives every intermediate a place: in one arena that all threads share, or in the scratch of each thread.

Threads of one phase run at their own pace, so of the arena memory is free again only in the phase after its last
reader's. In its own scratch a thread goes from node to node, and what the last one read is free for the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby

from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.memory import ALIGNMENT
from ggtui.core.runtime.passes.scheduled import ScheduledDag


@dataclass(slots=True)
class _Life:
    size: int
    born: int
    died: int
    offset: int = 0


def allocate(dag: ScheduledDag) -> ScheduledDag:
    """Sets offsets and own, and the sizes of both memories."""
    stay = dag.must_stay()
    shared: dict[Tensor, _Life] = {}
    own: dict[Tensor, _Life] = {}
    for place, node in enumerate(dag.nodes):
        phase = dag.phase[node]
        for s in node.src:
            for lives, now in ((shared, phase), (own, place)):
                if s is not None and s.root in lives:
                    lives[s.root].died = max(lives[s.root].died, now)
        root = node.dst.root
        if node in dag.every:
            own[root] = _Life(root.n_bytes, place, place)
        elif dag.makes(root):
            life = shared.setdefault(root, _Life(root.n_bytes, phase, phase))
            life.died = len(dag.nodes) if root in stay else max(life.died, phase)
    return replace(
        dag,
        arena_bytes=_place(list(shared.values())),
        own_bytes=_place(list(own.values())),
        offsets={t: life.offset for t, life in shared.items()},
        own={t: life.offset for t, life in own.items()},
    )


def _place(lives: list[_Life]) -> int:
    """First fit in the order of birth: each goes into the lowest gap between those alive. Returns the size of all."""
    alive: list[_Life] = []  # by offset
    top = 0
    for born, group in groupby(sorted(lives, key=lambda life: life.born), key=lambda life: life.born):
        alive = [life for life in alive if life.died >= born]
        gap = 0  # those of one birth come largest first, so no gap before this one has room for the next of its size
        size = -1
        for life in sorted(group, key=lambda life: -life.size):
            if life.size != size:
                gap, size = 0, life.size
            at = _end(alive[gap - 1]) if gap else 0
            while gap < len(alive) and alive[gap].offset - at < life.size:
                at = max(at, _end(alive[gap]))
                gap += 1
            life.offset = at
            alive.insert(gap, life)
            top = max(top, at + life.size)
    return top


def _end(life: _Life) -> int:
    """The first aligned offset behind it."""
    return -(-(life.offset + life.size) // ALIGNMENT) * ALIGNMENT
