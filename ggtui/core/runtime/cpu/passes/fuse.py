"""Joins neighbours into one node that makes fewer trips to memory.

A node and the only node that reads it are joined where a row of JOINS has a rule for the two ops. The joined node lists
the originals in `replaced`, so that a trace can be read in the user's own terms. What is an output, or kept, stays.

Joined forms (sources that are not there are None):
    norm, rms_norm   src = (x, weight, bias)
    mul_mat          src = (a, b, bias, residual, norm weight, norm bias), params = (activation, norm, eps):
                     y = activation(a . norm(b) + bias) + residual, with the numbers of the ops or 0
"""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OP_NUMBERS
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.tensor import Tensor

Join = Callable[[Node, Node], Node | None]

MUL_MAT_PARTS = 6


def mul_mat_src(node: Node) -> list[Tensor | None]:
    """The six sources of a mul_mat node, joined or not."""
    return [*node.src, *[None] * (MUL_MAT_PARTS - len(node.src))]


def mul_mat_params(node: Node) -> tuple[int, int, float]:
    """Activation, norm and eps of a mul_mat node, joined or not."""
    if not node.params:
        return 0, 0, 0.0
    return int(node.params[0]), int(node.params[1]), float(node.params[2])


def _is_row(t: Tensor, ne0: int) -> bool:
    return t.n_rows == 1 and t.ne[0] == ne0 and t.type.name == "f32" and t.is_contiguous


def _other(node: Node, reader: Node) -> Tensor | None:
    """The operand of a two-operand reader that is not the node's result."""
    others = [s for s in reader.src if s is not node.dst]
    return others[0] if len(others) == 1 else None


def _joined(node: Node, reader: Node, op: str, src: list[Tensor | None], params: tuple[int | float, ...]) -> Node:
    return Node(reader.dst, op, tuple(src), params, (*node.originals, *reader.originals))


def norm_weight(node: Node, reader: Node) -> Node | None:
    weight = _other(node, reader)
    if len(node.src) != 1 or weight is None or not _is_row(weight, node.dst.ne[0]):
        return None
    return _joined(node, reader, node.op, [node.src[0], weight], node.params)


def norm_bias(node: Node, reader: Node) -> Node | None:
    bias = _other(node, reader)
    if len(node.src) != 2 or bias is None or not _is_row(bias, node.dst.ne[0]):
        return None
    return _joined(node, reader, node.op, [*node.src, bias], node.params)


def mul_mat_add(node: Node, reader: Node) -> Node | None:
    src, params = mul_mat_src(node), mul_mat_params(node)
    other = _other(node, reader)
    if other is None or other.type.name != "f32":
        return None
    untouched = params[0] == 0 and src[3] is None
    if src[2] is None and untouched and _is_row(other, node.dst.ne[0]):
        src[2] = other
    elif src[3] is None and same_shape(other, node.dst) and other.nb[0] == other.type.bytes:
        src[3] = other
    else:
        return None
    return _joined(node, reader, "mul_mat", src, params)


def mul_mat_activation(node: Node, reader: Node) -> Node | None:
    src, (activation, norm, eps) = mul_mat_src(node), mul_mat_params(node)
    if activation or src[3] is not None:
        return None
    return _joined(node, reader, "mul_mat", src, (OP_NUMBERS[reader.op], norm, eps))


def norm_mul_mat(node: Node, reader: Node) -> Node | None:
    src, (activation, norm, _) = mul_mat_src(reader), mul_mat_params(reader)
    weights, x = src[0], node.src[0]
    if weights is None or x is None or not weights.packed or src[1] is not node.dst or norm:
        return None
    if x.nb[0] != x.type.bytes:
        return None
    src[1], src[4], src[5] = x, *[*node.src[1:], None, None][:2]
    return _joined(node, reader, "mul_mat", src, (activation, OP_NUMBERS[node.op], float(node.params[0])))


# (op, op of its only reader) -> the rule that joins them
JOINS: dict[tuple[str, str], Join] = {
    ("norm", "mul"): norm_weight,
    ("rms_norm", "mul"): norm_weight,
    ("norm", "add"): norm_bias,
    ("mul_mat", "add"): mul_mat_add,
    **{("mul_mat", op): mul_mat_activation for op in ("relu", "gelu", "gelu_erf", "gelu_quick", "silu")},
    ("norm", "mul_mat"): norm_mul_mat,
    ("rms_norm", "mul_mat"): norm_mul_mat,
}


def fuse(dag: Dag) -> Dag:
    """Joins until no rule applies. A joined node stands where its reader stood, when all its sources are ready."""
    stay = dag.must_stay()
    nodes: dict[Tensor, Node] = {node.dst: node for node in dag.nodes}
    readers: dict[Tensor, list[Tensor]] = {}
    place = {node.dst: i for i, node in enumerate(dag.nodes)}
    writers: dict[Tensor, list[int]] = {}  # places of the nodes that write into memory of something else
    for reader in dag.nodes:
        for s in reader.src:
            if s is not None:
                readers.setdefault(s.root, []).append(reader.dst)
        if reader.dst.view_src is not None:
            writers.setdefault(reader.dst.root, []).append(place[reader.dst])
    for dst in list(nodes):
        node = nodes.get(dst)
        while node is not None:
            t = node.dst
            read_by = readers.get(t, [])
            if t in stay or t.view_src is not None or len(read_by) != 1:
                break
            reader = nodes[read_by[0]]
            # The node would move behind what overwrites its sources.
            between = range(place[t] + 1, place[reader.dst])
            if any(i in between for s in node.src if s is not None for i in writers.get(s.root, ())):
                break
            rule = JOINS.get((node.op, reader.op))
            joined = (
                rule(node, reader) if rule and any(s is t for s in reader.src) and reader.dst.view_src is None else None
            )
            if joined is None:
                break
            del nodes[t]
            nodes[joined.dst] = joined
            for s in node.src:
                if s is not None:
                    readers[s.root] = [joined.dst if r is t else r for r in readers[s.root]]
            node = joined
    return dag.with_nodes(list(nodes.values()))
