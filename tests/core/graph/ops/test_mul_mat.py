"""Products that show where single weights go, and what activations of very different size cost."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import ISAS, near

from ggtui import Context, Graph, ops
from ggtui.core.runtime.cases.base import BLOCKS, MUL_MAT, packable, whole
from ggtui.core.runtime.cases.mul_mat import kinds


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("type", "packed"), list(kinds()))
def test_one_hot_columns_pick_single_weights(type: str, packed: bool, isa: str) -> None:
    """Column i has a one at place i: what comes out are the weights themselves, each where it belongs."""
    for k in (whole(type, 32), whole(type, 300)) if type in BLOCKS else (1, 15, 17, 33):
        ctx = Context()
        a = ctx.tensor(np.random.default_rng(k).standard_normal((35, k)), type=type, packed=packed)
        y = ops.mul_mat(a, ctx.tensor(np.eye(k, dtype=np.float32)))
        g = Graph()
        g.build_forward_expand(y)
        g.compute(threads=2, isa=isa)
        weights = np.asarray(a.numpy(), np.float64)
        if type in BLOCKS and packed:  # the ones are 127 times the nearest float to 1/127; minimums are added apart
            with_minimum = type in ("q4_1", "q5_1", "q2_k", "q4_k", "q5_k")  # two large numbers may nearly cancel
            np.testing.assert_allclose(y.numpy(), weights.T, rtol=1e-6, atol=1e-6 if with_minimum else 0)
        else:
            assert np.array_equal(y.numpy(), weights.T)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("type", [type for type in BLOCKS if packable(type)])
def test_columns_of_very_different_size(type: str, isa: str) -> None:
    """Each 32 activations have a scale of their own: a large one elsewhere costs no precision."""
    ctx, rng = Context(), np.random.default_rng(5)
    x = rng.standard_normal((7, whole(type, 64)), np.float32) * np.float32(10.0) ** rng.integers(-15, 15, (7, 1))
    x[3] = 0
    a = ctx.tensor(rng.standard_normal((17, whole(type, 64))), type=type, packed=True)
    y = ops.mul_mat(a, ctx.tensor(x))
    g = Graph()
    g.build_forward_expand(y)
    g.compute(isa=isa)
    for row, got in zip(x.astype(np.float64), y.numpy(), strict=True):
        near(got, a.numpy().astype(np.float64) @ row, MUL_MAT)


@pytest.mark.parametrize("k", [17, 512, 513, 1100])
@pytest.mark.parametrize("turned", [False, True])
def test_slices_have_the_bits_of_a_product_of_packed_weights(k: int, turned: bool) -> None:
    """Weights that are not packed are packed by slices of long rows, and columns with gaps too: the sums go on in the
    same order, on every instruction set, and what follows is done with all of them."""
    rng = np.random.default_rng(k)
    values, x = rng.standard_normal((45, k), np.float32), rng.standard_normal((300, k), np.float32)
    bias, residual = (rng.standard_normal(shape, np.float32) for shape in ((45,), (300, 45)))

    def computed(isa: str, *, packed: bool) -> bytes:
        ctx = Context()
        if turned and not packed:
            a, b = (ops.transpose(ctx.tensor(t.T)) for t in (values, x))
        else:
            a, b = ctx.tensor(values, packed=packed), ctx.tensor(x)
        y = ops.add(ops.silu(ops.add(ops.mul_mat(a, b), ctx.tensor(bias))), ctx.tensor(residual))
        g = Graph()
        g.build_forward_expand(y)
        g.compute(threads=2, isa=isa)
        return y.numpy().tobytes()

    want = computed(ISAS[0], packed=True)
    assert all(computed(isa, packed=False) == want for isa in ISAS)
