"""Lowers a Dag to the steps that C runs.

A node becomes one step, or two where it first prepares its activations: then `part` tells them apart. Sizes that vary
from run to run become patches: places that the run-time value is written to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OP_NUMBERS
from ggtui.core.graph.tensor import Dim, Param, Tensor, contiguous_nb
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.native import ffi, lib
from ggtui.core.runtime.cpu.passes.allocate import prepared_row_bytes, prepared_type
from ggtui.core.runtime.cpu.passes.fuse import mul_mat_params, mul_mat_src
from ggtui.core.runtime.cpu.passes.schedule import prepares, prepares_together


@dataclass(slots=True)
class Place:
    """A tensor as a step sees it: `tensor` where it lies by itself, or prepared activations at `data`."""

    tensor: Tensor
    data: int
    type_id: int
    nb: tuple[int, ...]
    own: bool = False


@dataclass(slots=True)
class Step:
    """One gg_step in the making."""

    op: str
    dst: Place
    src: list[Place | None]
    params: tuple[Param, ...]
    node: int
    part: str
    meet: bool = False
    every: bool = False
    heads: tuple[int, int] | None = None
    user: Any = None
    number: int = 0


@dataclass
class Lowered:
    """What gg_plan_new takes, and what must live as long as the plan. `variables`: the run-time sizes, and the largest
    value of each."""

    steps: list[Step]
    own_bytes: int
    variables: dict[str, int]
    patches: Any
    array: Any
    parts: list[tuple[str, ...]] = field(default_factory=list)


def lower(dag: Dag, arena: int, users: dict[Tensor, Any]) -> Lowered:
    """Steps for a Dag that has been through the passes; `arena` is the address of its memory, `users` the handles of
    map_custom functions."""
    steps: list[Step] = []
    own_bytes = 0
    phase = 0
    parts: list[tuple[str, ...]] = []
    for index, node in enumerate(dag.nodes):
        first = len(steps)
        if prepares(node):
            own_bytes = max(own_bytes, 0 if prepares_together(node) else prepared_row_bytes(node))
            steps.extend(_mul_mat_in_two(dag, arena, node, index))
        else:
            steps.append(_single(dag, arena, node, index, users))
        steps[first].meet = node.phase != phase
        phase = node.phase + prepares_together(node)
        for number, step in enumerate(steps[first:]):
            step.number = number
        parts.append(tuple(step.part for step in steps[first:]))
    variables = _variables(steps)
    patches = _patches(steps, variables)
    return Lowered(steps, own_bytes, variables, patches, _array(steps), parts)


def _single(dag: Dag, arena: int, node: Node, index: int, users: dict[Tensor, Any]) -> Step:
    src = _places(dag, arena, *node.src)
    params = node.params
    if node.op == "mul_mat":
        src, params = src[:4], (mul_mat_params(node)[0],)
    dst, user = _place(dag, arena, node.dst), users.get(node.dst)
    return Step(node.op, dst, src, params, index, node.op, heads=node.heads, user=user)


def _mul_mat_in_two(dag: Dag, arena: int, node: Node, index: int) -> tuple[Step, Step]:
    """First the activations, normed and rounded to 8 bits as the weights need it; then the product."""
    a, b, bias, residual, weight, norm_bias = mul_mat_src(node)
    activation, norm, eps = mul_mat_params(node)
    assert a is not None and b is not None
    kind = TYPES[prepared_type(node)]
    together = prepares_together(node)
    data = arena + dag.work[node.dst] if together else 0
    ready = Place(b, data, kind.id, contiguous_nb(kind, b.ne), own=not together)
    sources = _places(dag, arena, b, weight, norm_bias)
    if kind.block > 1:
        first = Step("quantize", ready, sources, (norm, eps), index, "quantize", every=not together)
    else:
        op = next(name for name, number in OP_NUMBERS.items() if number == norm)
        first = Step(op, ready, sources, (eps,), index, op, every=not together)
    rest = [_place(dag, arena, a), ready, *_places(dag, arena, bias, residual)]
    dst = _place(dag, arena, node.dst)
    second = Step("mul_mat", dst, rest, (activation,), index, "mul_mat", meet=together, heads=node.heads)
    return first, second


def _places(dag: Dag, arena: int, *tensors: Tensor | None) -> list[Place | None]:
    return [None if t is None else _place(dag, arena, t) for t in tensors]


def _place(dag: Dag, arena: int, t: Tensor) -> Place:
    root = t.root
    if root in dag.offsets:
        data = arena + dag.offsets[root]
    elif root.buffer is not None:
        data = root.buffer.__array_interface__["data"][0]
    else:
        raise GgtuiError(f"tensor {root.name!r} ({root.op}) has no memory and no node of the graph makes it")
    return Place(t, data + t.view_offs, t.type.id, t.nb)


def _variables(steps: list[Step]) -> dict[str, int]:
    largest: dict[str, int] = {}
    for step in steps:
        sizes = [n for place in (step.dst, *step.src) if place is not None for n in place.tensor.ne]
        for n in (*sizes, *step.params):
            if isinstance(n, Dim):
                largest[n.name] = min(int(n), largest.get(n.name, int(n)))
    return largest


def _patches(steps: list[Step], variables: dict[str, int]) -> Any:
    number = {name: i for i, name in enumerate(variables)}
    rows: list[tuple[int, ...]] = []
    for s, step in enumerate(steps):
        for t, place in enumerate((step.dst, *step.src), start=-1):
            if place is not None:
                sizes = enumerate(place.tensor.ne)
                rows += [(s, t, lib.GG_PATCH_NE, d, number[n.name], 0) for d, n in sizes if isinstance(n, Dim)]
        params = enumerate(step.params)
        rows += [(s, 0, lib.GG_PATCH_PARAM, i, number[p.name], 0) for i, p in params if isinstance(p, Dim)]
    return ffi.new("gg_patch[]", rows)


def _array(steps: list[Step]) -> Any:
    array = ffi.new("gg_step[]", len(steps))
    for c, step in zip(array, steps, strict=True):
        _fill(c.dst, step.dst)
        for i, place in enumerate(step.src):
            if place is not None:
                _fill(c.src[i], place)
        for i, value in enumerate(step.params):
            if isinstance(value, float):
                c.params[i].f = value
            else:
                c.params[i].i = value
        c.op, c.node, c.part = OP_NUMBERS[step.op], step.node, step.number
        c.flags = (lib.GG_MEET if step.meet else 0) | (lib.GG_EVERY if step.every else 0)
        if step.heads is not None:
            c.n_head, c.d_head = step.heads
            c.flags |= lib.GG_TAKE_HEADS if step.op == "mul_mat" else lib.GG_SAME_HEADS
        if step.user is not None:
            c.user = step.user
    return array


def _fill(c: Any, place: Place) -> None:
    c.data = ffi.cast("void *", place.data)
    c.ne, c.nb = place.tensor.ne, place.nb
    c.type, c.packed, c.own = place.type_id, place.tensor.packed and not place.own, place.own
