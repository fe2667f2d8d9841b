"""Graphs as traces know them: plain records of what runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dag import Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.record import NodeInfo, OriginalInfo, TensorInfo

_LAYER = re.compile(r"blk\.(\d+)\.")

NodeCost = Callable[[Node], Cost]
NodeKind = Callable[[Node], str]


def unique_keys(nodes: Sequence[Node]) -> list[str]:
    """The name of each node; from the second of a name on with the how manyth it is."""
    seen: Counter[str] = Counter()
    keys = []
    for node in nodes:
        seen[node.name] += 1
        keys.append(node.name if seen[node.name] == 1 else f"{node.name}#{seen[node.name]}")
    return keys


def node_infos(
    nodes: Sequence[Node], phases: Sequence[int], kind: NodeKind, flops: NodeCost, traffic: NodeCost
) -> tuple[NodeInfo, ...]:
    """A record of each node; `kind`, `flops` and `traffic` say what a device makes of it."""
    makers = {node.dst.root: i for i, node in enumerate(nodes)}
    made = []
    for i, (node, key, phase) in enumerate(zip(nodes, unique_keys(nodes), phases, strict=True)):
        sources = [s for s in node.src if s is not None]
        inner = {t.root for t in node.originals}
        read = {s.root: s for t in node.originals for s in t.src if s is not None and s.root not in inner}
        stored = [s for s in sources if s.root.op == "none"]
        layer = _LAYER.match(node.name)
        made.append(
            NodeInfo(
                id=i,
                name=node.name,
                op=node.op,
                result=_info(node.dst),
                src=tuple(dict.fromkeys(makers[s.root] for s in sources if s.root in makers and makers[s.root] < i)),
                inputs=tuple(_info(s) for root, s in read.items() if root.op == "none"),
                originals=tuple(OriginalInfo(t.name, t.op, _info(t)) for t in node.originals),
                parts=(node.op,),
                phase=phase,
                flops=flops(node),
                traffic=traffic(node),
                kinds=(kind(node),),
                key=key,
                layer=int(layer[1]) if layer else None,
                type=max(stored or sources, key=_largest, default=node.dst).type.name,
            )
        )
    return tuple(made)


def _largest(t: Tensor) -> int:
    return t.type.row_bytes(t.ne[0]) * t.n_rows


def _info(t: Tensor) -> TensorInfo:
    return TensorInfo(t.name, t.type.name, tuple(int(n) for n in t.ne))
