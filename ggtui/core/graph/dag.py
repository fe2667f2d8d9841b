"""Graphs: the ops that lead to a result, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Param, Tensor, describe


@dataclass(frozen=True, eq=False)
class Node:
    """One op of a graph. At first it says what its tensor says; passes join nodes and then `replaced` lists the
    originals."""

    dst: Tensor
    op: str
    src: tuple[Tensor | None, ...]
    params: tuple[Param, ...]
    replaced: tuple[Tensor, ...] = ()

    @property
    def originals(self) -> tuple[Tensor, ...]:
        """The tensors of the user's graph that this node computes, in order."""
        return self.replaced or (self.dst,)

    @property
    def name(self) -> str:
        """What traces call it: of a fused node the name of the op that does most of its work."""
        return next((t.name for t in self.originals if t.op == self.op and t.name), self.dst.name or self.op)


@dataclass
class Dag:
    """Nodes in an order in which each comes after its sources, without the ops that only look at data another way.

    outputs  tensors asked for; kept: tensors whose memory must outlive the run
    given    roots that nodes of another graph made, in memory of theirs: these only read them and write into them
    """

    nodes: list[Node] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    kept: set[Tensor] = field(default_factory=set)
    given: set[Tensor] = field(default_factory=set)

    @classmethod
    def of(cls, outputs: Iterable[Tensor], kept: Iterable[Tensor] = ()) -> Dag:
        """The nodes that lead to `outputs`, as they were written down. An op that writes into another tensor's memory
        (set_rows, cpy) is there only where it was asked for or its result is read, as in ggml."""
        outputs = list(outputs)
        tensors = topological(outputs)
        nodes = [Node(t, t.op, t.src, t.op_params) for t in tensors if t.op != "none" and OPS[t.op].moves_data]
        return cls(nodes, outputs, set(kept))

    def with_nodes(self, nodes: list[Node]) -> Dag:
        return replace(self, nodes=nodes)

    def makes(self, root: Tensor) -> bool:
        """Whether a tensor that a node writes gets its memory here: others lie in a context's, or are given."""
        return root.op != "none" and root not in self.given

    def must_stay(self) -> set[Tensor]:
        """Roots of all tensors that are outputs or kept."""
        return {t.root for t in self.outputs} | {t.root for t in self.kept}


def topological(outputs: list[Tensor]) -> Iterator[Tensor]:
    """Every tensor the outputs depend on, sources first, in the order in which the graph was written down.

    Walks with a stack of its own, since a deep graph would end Python's.
    """
    seen: set[Tensor] = set()
    for output in outputs:
        stack: list[tuple[Tensor, bool]] = [(output, False)]
        while stack:
            t, ready = stack.pop()
            if ready:
                yield t
            elif t not in seen:
                seen.add(t)
                stack.append((t, True))
                sources = [s for s in (*t.src, t.view_of) if s is not None and s not in seen]
                stack.extend((s, False) for s in reversed(sources))


def format_node(index: int, node: Node) -> str:
    """One line of a printed graph."""
    sources = ", ".join(describe(s) for s in node.src if s is not None)
    fused = f"   [{' + '.join(t.op for t in node.replaced)}]" if node.replaced else ""
    return f"{index:4d}  {node.op:<15}{describe(node.dst):<40} <- {sources}{fused}"
