"""Joins neighbours into one node that makes fewer trips to memory.

CHAINS has the patterns: what may follow a product or a norm, and the part of the joined node that each becomes. A node
and the only node that reads it are joined, and so are two products of the same activations and what makes one the gate
of the other; what is an output, or kept, stays. The joined node lists the originals in
`replaced`, so that a trace can be read in the user's own terms, and gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.passes.parts import Joined, Product


@dataclass(frozen=True, slots=True)
class Follower:
    """An op that may follow: by its name, or any of a kind.

    part  what it becomes: its other operand, which is a row for all rows or as large as the result; or the op itself
    """

    part: str
    op: str = ""
    kind: str = ""
    row: bool = False

    def fits(self, node: Node, made: Tensor) -> Tensor | str | None:
        """The part that `node` makes of itself as the only reader of `made`, or None."""
        if self.kind:
            return node.op if OPS[node.op].kind == self.kind else None
        others = [s for s in node.src if s is not made]
        if node.op != self.op or len(others) != 1 or others[0] is None:
            return None
        fits = _is_row(others[0], made.ne[0]) if self.row else _is_like(others[0], made)
        return others[0] if fits else None


# kind of the first op -> what may follow, in this order; each may be left out
CHAINS: dict[str, tuple[Follower, ...]] = {
    "product": (
        Follower("bias", op="add", row=True),
        Follower("activation", kind="unary"),
        Follower("residual", op="add"),
    ),
    "norm": (
        Follower("weight", op="mul", row=True),
        Follower("bias", op="add", row=True),
    ),
}


def _is_row(t: Tensor, ne0: int) -> bool:
    return t.n_rows == 1 and t.ne[0] == ne0 and t.type.name == "f32" and t.is_contiguous


def _is_like(t: Tensor, made: Tensor) -> bool:
    return t.type is made.type and same_shape(t, made) and t.nb[0] == t.type.bytes


def name_parts(dag: Dag) -> Dag:
    """Products and norms as nodes whose operands have names, nothing joined yet."""
    return dag.with_nodes([Joined.of(node) if OPS[node.op].kind in CHAINS else node for node in dag.nodes])


Gate = Callable[[Product, Product], bool]


def fuse(dag: Dag, gates: Gate) -> Dag:
    """Joins chains, as far as they go, and gates where a device says that one kernel makes both products. A joined node
    stands where its last op stood, when all its sources are ready."""
    graph = _Readers(dag)
    made: dict[int, Joined] = {}  # by the place of its last op
    gone: set[int] = set()
    for first, node in enumerate(dag.nodes):
        if not isinstance(node, Joined):
            continue
        joined, at, left = node, first, CHAINS[OPS[node.op].kind]
        for reader_at in graph.only_readers(first):
            reader = dag.nodes[reader_at]
            fitting = ((i, f.part, f.fits(reader, joined.dst)) for i, f in enumerate(left))
            i, part, value = next((fit for fit in fitting if fit[2] is not None), (0, "", None))
            taken = reader_at in made or reader_at in gone  # by the other operand of an addition
            if value is None or taken or graph.overwrites(joined, at, reader_at):
                break
            gone.add(at)
            joined, at, left = joined.followed_by(reader, part, value), reader_at, left[i + 1 :]
        made[at] = joined
    joined_dag = dag.with_nodes([made.get(i, node) for i, node in enumerate(dag.nodes) if i not in gone])
    return _with_gates(joined_dag, gates)


def _with_gates(dag: Dag, gates: Gate) -> Dag:
    """Joins two products of the same activations and what makes one the gate of the other."""
    graph = _Readers(dag)
    places = {node.dst: i for i, node in enumerate(dag.nodes)}
    made: dict[int, Joined] = {}
    gone: set[int] = set()
    for at, node in enumerate(dag.nodes):
        sources = [places[s] for s in node.src if s in places] if OPS[node.op].kind == "glu" else []
        if len(sources) != 2:
            continue
        gate, up = (dag.nodes[i] for i in sources)
        parts = _gated(gate, up, OPS[node.op].activation, gates)
        alone = all(next(graph.only_readers(i), None) == at for i in sources)
        if parts is None or not alone or any(graph.overwrites(dag.nodes[i], i, at) for i in sources):
            continue
        made[at] = Joined.made_of(node.dst, gate.op, parts, (*gate.originals, *up.originals, *node.originals))
        gone.update(sources)
    return dag.with_nodes([made.get(i, node) for i, node in enumerate(dag.nodes) if i not in gone])


def _gated(gate: Node, up: Node, activation: str, gates: Gate) -> Product | None:
    """Both as one, where one kernel can make the second of the very columns that the first is made of."""
    first, second = (node.parts if isinstance(node, Joined) else None for node in (gate, up))
    if not (isinstance(first, Product) and isinstance(second, Product) and first.bare and second.bare):
        return None
    if first.weights.ne != second.weights.ne or first.x is not second.x or not gates(first, second):
        return None
    return replace(first, activation=activation, up=second.weights, up_bias=second.bias)


class _Readers:
    """Who reads and who overwrites what, in a dag as it was written down."""

    def __init__(self, dag: Dag) -> None:
        self._nodes = dag.nodes
        self._stay = dag.must_stay()
        self._readers: dict[Tensor, list[int]] = {}  # of memory, by its root: places of nodes
        self._writers: dict[Tensor, list[int]] = {}  # places of nodes that write into memory of something else
        for i, node in enumerate(dag.nodes):
            for s in node.src:
                if s is not None:
                    self._readers.setdefault(s.root, []).append(i)
            if node.dst.view_src is not None:
                self._writers.setdefault(node.dst.root, []).append(i)

    def only_readers(self, at: int) -> Iterator[int]:
        """The place of the only node that reads the result at `at`, then that of the only one that reads that one's, as
        long as there is one and the result is of no other use."""
        while True:
            t = self._nodes[at].dst
            readers = self._readers.get(t, [])
            if t in self._stay or t.view_src is not None or len(readers) != 1:
                return
            at = readers[0]
            if self._nodes[at].dst.view_src is not None or all(s is not t for s in self._nodes[at].src):
                return
            yield at

    def overwrites(self, node: Node, at: int, to: int) -> bool:
        """Whether something between two places overwrites what `node` reads: it can't move from one to the other."""
        between = range(at + 1, to)
        return any(i in between for s in node.src if s is not None for i in self._writers.get(s.root, ()))
