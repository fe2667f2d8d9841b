"""Decides where threads must meet at a barrier, and so which nodes share a phase.

Every thread walks all nodes. Ops that work by rows split them in one way (gg_split), so a thread that reads, of an
operand with the same rows, only the rows that it writes itself needs no one else. In every other case it must know that
all have finished writing what it reads (and reading what it overwrites): there is a barrier in between. Each node goes
into the first phase that it can be in, so that what does not depend on each other, such as the products that make
queries, keys and values, shares one.

Attention of one query shares a phase with what stores its key and its value: a thread takes the heads that it stored.
Only where heads don't go evenly into threads, which is not known before a run, is there a barrier between them after
all, and heads are shared as threads get to them.

A row that several threads would have to wait for is made by each of them, in memory of its own: a norm, a rounding or
the angles of one row are sooner made again than shared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ggtui.core.graph.alias import same_view
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.ops import op_of
from ggtui.core.runtime.passes.parts import Joined, Product
from ggtui.core.runtime.passes.scheduled import ScheduledDag


@dataclass(slots=True)
class _Access:
    """Who wrote memory last, and who has read it since."""

    writer: Node | None = None
    readers: list[Node] = field(default_factory=list)


def schedule(dag: Dag) -> ScheduledDag:
    """Numbers the phases and puts the nodes into their order."""
    every = _by_every_thread(dag)
    by_head: dict[Node, int] = {}  # and the phase in which they would find what their own thread stored
    phase: dict[Node, int] = {}
    accesses: dict[Tensor, _Access] = {}
    for node in dag.nodes:
        earliest = 0
        for i, s in enumerate(node.src):
            if s is not None:
                access = accesses.setdefault(s.root, _Access())
                writer = access.writer
                if writer is not None:
                    heads = _reads_own_heads(writer, node, i)
                    apart = not (writer in every or heads or _reads_own_rows(writer, node, i, node in every))
                    earliest = max(earliest, phase[writer] + apart)
                    if heads:
                        by_head[node] = max(by_head.get(node, 0), phase[writer])
                access.readers.append(node)
        target = accesses.setdefault(node.dst.root, _Access())
        if target.writer is not None:
            earliest = max(earliest, phase[target.writer] + 1)
        for reader in target.readers:
            if reader is not node:
                apart = reader in every or not _overwrites_own_rows(reader, node)
                earliest = max(earliest, phase[reader] + apart)
        phase[node] = earliest
        accesses[node.dst.root] = _Access(node)
    order = sorted(dag.nodes, key=phase.__getitem__)  # a stable sort: of one phase the order stays
    return ScheduledDag(
        order, dag.outputs, dag.kept, dag.given, phase, every, {n for n in by_head if by_head[n] == phase[n]}
    )


def _by_every_thread(dag: Dag) -> set[Node]:
    """Norms, roundings and angles of one row, and heads of one token that turn, where every reader wants all of it, or
    is made by every thread itself: to make it again takes less time than a barrier."""
    stay = dag.must_stay()
    shared: set[Tensor] = set()  # roots of what a thread reads only a part of
    heads: set[Tensor] = set()
    every = set()
    for node in reversed(dag.nodes):
        turned = node.op == "rope" or node.dst in heads
        one = all(n == 1 and not isinstance(n, Dim) for n in node.dst.ne[2 if turned else 1 :])
        small = isinstance(node, Joined) and not _is_product(node) and node.dst not in shared
        if one and (small or node.op == "rope") and node.dst.view_src is None and node.dst not in stay:
            every.add(node)
            heads |= {s for s in node.src[:1] if s is not None and turned}
            continue
        shared |= {s.root for i, s in enumerate(node.src) if s is not None and not _reads_all(node, i)}
    return every


def _is_product(node: Node) -> bool:
    return isinstance(node, Joined) and isinstance(node.parts, Product)


def _reads_all(node: Node, i: int) -> bool:
    """Whether every thread reads all rows of source `i`."""
    rowwise = op_of(node).rowwise
    return _is_product(node) or (rowwise is not None and i not in rowwise)


def _same_rows(a: Tensor, b: Tensor) -> bool:
    """Equal sizes but for the length of the row."""
    return a.ne[1:] == b.ne[1:]


def _reads_own_rows(writer: Node, reader: Node, i: int, whole: bool) -> bool:
    """Whether each thread reads, as source `i`, only rows that it wrote itself. `whole`: it does all rows."""
    rowwise, s = op_of(reader).rowwise, reader.src[i]
    if whole or s is not writer.dst or op_of(writer).rowwise is None or rowwise is None or i not in rowwise:
        return False
    return _same_rows(s, reader.dst) and _same_rows(writer.dst, reader.dst)


def _reads_own_heads(writer: Node, reader: Node, i: int) -> bool:
    """Whether each thread reads, as source `i`, only heads that it wrote itself, where threads have as many each.

    Of one query: of more, whose work differs, each thread takes the next when it is done with one."""
    written, read, headwise = writer.dst, reader.src[i], op_of(reader).headwise
    if read is None or op_of(writer).headwise is None or headwise is None or i not in headwise:
        return False
    queries = reader.dst.ne[2]
    same_heads = all(same_dim(x, y) for x, y in zip(read.ne[2:], written.ne[2:], strict=True))
    same_place = (read.view_offs, read.type, read.nb, read.packed) == (
        written.view_offs,
        written.type,
        written.nb,
        written.packed,
    )
    inside = read.ne[0] <= written.ne[0] and read.ne[1] <= written.ne[1]
    return same_dim(queries, 1) and same_heads and same_place and inside


def _overwrites_own_rows(reader: Node, writer: Node) -> bool:
    """Whether each thread reads, of the memory that `writer` writes, only the rows that it will write itself."""
    target, rowwise = writer.dst, op_of(reader).rowwise
    if op_of(writer).rowwise is None or rowwise is None or not _same_rows(reader.dst, target):
        return False
    return all(
        i in rowwise and same_shape(s, target) and same_view(s, target)
        for i, s in enumerate(reader.src)
        if s is not None and s.root is target.root
    )
