"""Lowers a ScheduledDag to the steps that C runs, one a node.

Sizes that vary from run to run become patches: places that the run-time value is written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Param, Tensor
from ggtui.core.runtime.cpu.native import OP_NUMBERS, ffi, lib
from ggtui.core.runtime.passes.parts import Joined
from ggtui.core.runtime.passes.scheduled import ScheduledDag


@dataclass(slots=True)
class Place:
    """A tensor as a step sees it: at an address, or `own`: at an offset in each thread's scratch."""

    tensor: Tensor
    data: int
    own: bool


@dataclass(slots=True)
class Step:
    """One gg_step in the making."""

    op: str
    dst: Place
    src: list[Place | None]
    params: tuple[Param, ...]
    flags: int


@dataclass
class Lowered:
    """What gg_plan_new takes, and what must live as long as the plan. `variables`: the run-time sizes, and the largest
    value of each."""

    steps: list[Step]
    variables: dict[str, int]
    patches: Any
    array: Any


def lower(dag: ScheduledDag, arena: int) -> Lowered:
    """Steps for a Dag that has been through the passes; `arena` is the address of its memory."""
    steps = []
    phase = 0
    for node in dag.nodes:
        places = [None if t is None else _place(dag, arena, t) for t in (node.dst, *node.src)]
        dst, *src = places
        assert dst is not None
        flags = (lib.GG_BARRIER if dag.phase[node] != phase else 0) | (lib.GG_EVERY if node in dag.every else 0)
        flags |= lib.GG_BY_HEAD if node in dag.by_head else 0
        phase = dag.phase[node]
        steps.append(Step(node.op, dst, src, _params(node), flags))
    variables = _variables(steps)
    return Lowered(steps, variables, _patches(steps, variables), _array(steps))


def _params(node: Node) -> tuple[Param, ...]:
    if not isinstance(node, Joined):
        return node.params
    return tuple(OP_NUMBERS[p or "none"] if isinstance(p, str) else p for p in node.parts.params)


def _place(dag: ScheduledDag, arena: int, t: Tensor) -> Place:
    root = t.root
    if root in dag.own:
        return Place(t, dag.own[root] + t.view_offs, True)
    if root in dag.offsets:
        data = arena + dag.offsets[root]
    elif root.buffer is not None:
        data = root.buffer.bytes(root).__array_interface__["data"][0]
    else:
        raise GgtuiError(f"tensor {root.name!r} ({root.op}) has no memory and no node of the graph makes it")
    return Place(t, data + t.view_offs, False)


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
    for i, (c, step) in enumerate(zip(array, steps, strict=True)):
        _fill(c.dst, step.dst)
        for c_src, place in zip(c.src, step.src, strict=False):
            if place is not None:
                _fill(c_src, place)
        for c_param, value in zip(c.params, step.params, strict=False):
            if isinstance(value, float):
                c_param.f = value
            else:
                c_param.i = value
        c.op, c.node, c.flags = OP_NUMBERS[step.op], i, step.flags
    return array


def _fill(c: Any, place: Place) -> None:
    t = place.tensor
    c.data = ffi.cast("void *", place.data)
    c.ne, c.nb = t.ne, t.nb
    c.type, c.packed, c.own = t.type.id, t.packed and not place.own, place.own
