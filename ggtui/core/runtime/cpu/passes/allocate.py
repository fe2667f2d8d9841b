"""Gives every intermediate a place in one arena, by when it is made and last read.

Threads of one phase run at their own pace, so memory is free again only in the phase after its last reader's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.passes.fuse import mul_mat_src
from ggtui.core.runtime.cpu.passes.schedule import prepares_together
from ggtui.core.runtime.memory import ALIGNMENT


@dataclass(slots=True)
class _Life:
    key: Tensor
    work: bool
    size: int
    born: int
    died: int
    offset: int = 0


def prepared_type(node: Node) -> str:
    """The type in which a mul_mat's activations reach the kernel."""
    weights = mul_mat_src(node)[0]
    assert weights is not None
    return "q8_a" if weights.packed and weights.type.block > 1 else "f32"


def prepared_row_bytes(node: Node) -> int:
    b = node.src[1]
    assert b is not None
    return TYPES[prepared_type(node)].row_bytes(b.ne[0])


def allocate(dag: Dag) -> Dag:
    """Sets offsets (of computed tensors), work (of the shared preparations) and arena_bytes."""
    last = len(dag.nodes) * 2 + 1
    stay = dag.must_stay()
    lives: dict[Tensor, _Life] = {}
    work: list[_Life] = []
    for node in dag.nodes:
        together = prepares_together(node)
        end = node.phase + together
        for s in node.src:
            if s is not None and s.root in lives:
                lives[s.root].died = max(lives[s.root].died, end)
        root = node.dst.root
        if root.op != "none":  # else it writes into memory that a context owns
            if root not in lives:
                lives[root] = _Life(root, False, root.n_bytes, node.phase, end)
            lives[root].died = last if root in stay else max(lives[root].died, end)
        if together:
            b = node.src[1]
            assert b is not None
            work.append(_Life(node.dst, True, b.n_rows * prepared_row_bytes(node), node.phase, end))
    arena_bytes = _place([*lives.values(), *work])
    return replace(
        dag,
        offsets={life.key: life.offset for life in lives.values()},
        work={life.key: life.offset for life in work},
        arena_bytes=arena_bytes,
    )


def _place(lives: list[_Life]) -> int:
    """First fit in the order of birth: each goes into the lowest gap between those alive. Returns the arena's size."""
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
