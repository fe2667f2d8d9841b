"""Computes a graph on every instruction set, fused and not, with 1, 2, 3 and 7 threads, and compares with numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui import Graph, Tensor
from ggtui.core.runtime.cases import Case
from ggtui.core.runtime.check import compare, reference_result
from ggtui.core.runtime.cpu.native import usable_isas

Array = NDArray[Any]
THREADS = (1, 2, 3, 7)
ISAS = usable_isas()


def graph_of(*outputs: Tensor) -> Graph:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    return g


def computed(y: Tensor, **options: Any) -> Array:
    graph_of(y).compute(**options)
    return y.numpy()


def near(got: Array, want: Array, bound: float) -> None:
    """NMSE within the bound, and no value far off."""
    _, problem = compare(got, want, bound)
    assert not problem, problem


def every_way(y: Tensor, graph: Graph, inputs: Sequence[Tensor], check: Callable[[Array], None]) -> None:
    """Compute `y` on every instruction set, fused and not, with 1 to 7 threads; hand each result to `check`. For
    all numbers of threads it must be the same to the bit; what is not written must stay as it is, and everything that
    is computed must be written."""
    before = {t.root: t.root.bytes().copy() for t in inputs}
    nodes = graph.dag().nodes
    written = {node.dst.root for node in nodes}
    for isa in ISAS:
        for fused in (False, True) if len(nodes) > 1 else (True,):
            first: bytes | None = None
            for threads in THREADS:
                for t, data in before.items():
                    t.bytes()[...] = data
                graph.plan(isa=isa, fused=fused).arena[...] = 0xFF  # NaN
                graph.compute(threads, isa=isa, fused=fused)
                got = y.numpy()
                if first is None:
                    first = got.tobytes()
                    check(got)
                assert got.tobytes() == first, (isa, threads, fused)
                for t, data in before.items():
                    assert t in written or np.array_equal(t.bytes(), data), "an operand was overwritten"


def run(case: Case) -> None:
    y, given = case.make()
    want = reference_result(y)
    every_way(y, graph_of(y), given, lambda got: near(got, want, case.bound))
