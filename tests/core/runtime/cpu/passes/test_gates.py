"""Gates: two products and what joins them as one node, to the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.cpu.passes import run_passes

RNG = np.random.default_rng(3)
M, K = 150, 64


class Gated:
    """down . glu(gate . x, up . x), of random numbers."""

    def __init__(self, n: int, gate: str = "q4_0", up: str = "q4_0", *, packed: bool = True) -> None:
        self.context = Context()
        self.x = self.context.tensor(RNG.standard_normal((n, K), dtype=np.float32), "x")
        self.gate, self.up = self.weights("gate", gate, packed), self.weights("up", up, packed)

    def weights(self, name: str, type: str, packed: bool = True) -> Tensor:
        return self.context.tensor(RNG.standard_normal((M, K), dtype=np.float32), name, type, packed=packed)

    def row(self) -> Tensor:
        return self.context.tensor(RNG.standard_normal(M, dtype=np.float32))

    def products(self) -> tuple[Tensor, Tensor]:
        return ops.mul_mat(self.gate, self.x), ops.mul_mat(self.up, self.x)


def graph(*results: Tensor) -> Graph:
    g = Graph()
    for result in results:
        g.build_forward_expand(result)
    return g


def n_products(*results: Tensor) -> int:
    return sum(node.op == "mul_mat" for node in run_passes(graph(*results).dag()).nodes)


@pytest.mark.parametrize("glu", [ops.swiglu, ops.geglu])
@pytest.mark.parametrize(("gate", "up"), [("q4_0", "q4_0"), ("q8_0", "q5_0"), ("f32", "f32"), ("f16", "bf16")])
@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_gate_is_one_node_and_has_the_bits_of_three(
    glu: Callable[[Tensor, Tensor], Tensor], gate: str, up: str, n: int, with_bias: bool
) -> None:
    m = Gated(n, gate, up)
    a, b = (ops.add(p, m.row()) if with_bias else p for p in m.products())
    y = glu(a, b)
    assert n_products(y) == 1
    g, found = graph(y), set()
    for isa in usable_isas():
        for threads in (1, 2, 3):
            for fused in (False, True):
                g.compute(threads=threads, fused=fused, isa=isa)
                found.add(y.numpy().tobytes())
    assert len(found) == 1
    wanted = [w.numpy().astype(np.float64) @ m.x.numpy().T for w in (m.gate, m.up)]
    if not with_bias and gate == "f32":
        act = 1 / (1 + np.exp(-wanted[0])) if glu is ops.swiglu else 0.5 * (
            1 + np.tanh(np.sqrt(2 / np.pi) * (wanted[0] + 0.044715 * wanted[0] ** 3))
        )  # fmt: skip
        np.testing.assert_allclose(y.numpy().T, wanted[0] * act * wanted[1], rtol=1e-4, atol=1e-4)


def test_what_is_no_gate_stays_apart() -> None:
    m = Gated(3)
    gate, up = m.products()
    assert n_products(ops.swiglu(gate, up)) == 1
    other = ops.mul_mat(m.up, m.context.tensor(np.ones((3, K), np.float32)))
    assert n_products(ops.swiglu(gate, other)) == 2  # of other activations
    assert n_products(ops.swiglu(gate, up), up) == 2  # one that is wanted itself
    assert n_products(ops.swiglu(gate, up), ops.neg(gate)) == 2
    assert n_products(ops.swiglu(gate, gate)) == 1 and n_products(ops.swiglu(gate, ops.silu(up))) == 2
    assert n_products(ops.swiglu(gate, ops.add(up, gate))) == 2
    plain = Gated(3, packed=False)
    assert n_products(ops.swiglu(*plain.products())) == 2  # in no tiles
    mixed = Gated(3, "q4_0", "f16")
    assert n_products(ops.swiglu(*mixed.products())) == 2  # that read their activations differently
    g = graph(ops.swiglu(gate, up))
    g.keep(gate)
    assert sum(node.op == "mul_mat" for node in run_passes(g.dag()).nodes) == 2


def test_activations_that_are_overwritten_between_the_products() -> None:
    m = Gated(3, "f32", "f32")
    gate = ops.mul_mat(m.gate, m.x)
    up = ops.mul_mat(m.up, ops.scale(m.x, 2.0, inplace=True))
    y = ops.swiglu(gate, up)
    assert n_products(y) == 2
    x = m.x.numpy().copy()
    graph(y).compute(threads=2)
    gated = x @ m.gate.numpy().T
    np.testing.assert_allclose(y.numpy(), gated / (1 + np.exp(-gated)) * (2 * x @ m.up.numpy().T), rtol=1e-4, atol=1e-4)
