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
    return unique_names([node.name for node in nodes])


def unique_names(names: Sequence[str]) -> list[str]:
    """Each name; from the second time on with the how manyth it is."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        seen[name] += 1
        keys.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return keys


def layer_of(name: str) -> int | None:
    """The number of the layer that a node or a tensor is of, by its name; None outside of layers."""
    found = _LAYER.match(name)
    return int(found[1]) if found else None


def node_infos(
    nodes: Sequence[Node], phases: Sequence[int], kind: NodeKind, flops: NodeCost, traffic: NodeCost, device: str
) -> tuple[NodeInfo, ...]:
    """A record of each node, of which the device of that name makes what `kind`, `flops` and `traffic` say."""
    makers = {node.dst.root: i for i, node in enumerate(nodes)}
    made = []
    for i, (node, key, phase) in enumerate(zip(nodes, unique_keys(nodes), phases, strict=True)):
        sources = [s for s in node.src if s is not None]
        inner = {t.root for t in node.originals}
        read = {s.root: s for t in node.originals for s in t.src if s is not None and s.root not in inner}
        stored = [s for s in sources if s.root.op == "none"]
        made.append(
            NodeInfo(
                id=i,
                name=node.name,
                op=node.op,
                result=tensor_info(node.dst),
                src=tuple(dict.fromkeys(makers[s.root] for s in sources if s.root in makers and makers[s.root] < i)),
                inputs=tuple(tensor_info(s) for root, s in read.items() if root.op == "none"),
                originals=tuple(OriginalInfo(t.name, t.op, tensor_info(t)) for t in node.originals),
                parts=(node.op,),
                phase=phase,
                flops=flops(node),
                traffic=traffic(node),
                kinds=(kind(node),),
                key=key,
                layer=layer_of(node.name),
                type=max(stored or sources, key=_largest, default=node.dst).type.name,
                device=device,
            )
        )
    return tuple(made)


def _largest(t: Tensor) -> int:
    return t.type.row_bytes(t.ne[0]) * t.n_rows


def tensor_info(t: Tensor) -> TensorInfo:
    return TensorInfo(t.name, t.type.name, tuple(int(n) for n in t.ne))
