"""Fused attention against its parts, and where nothing or one position is seen."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import ISAS, every_way, near

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.runtime.cases.attention import with_infinities
from ggtui.core.runtime.cases.base import ATTENTION, normal


def composed(q: Tensor, k: Tensor, v: Tensor, m: Tensor | None, scale: float, max_bias: float) -> Tensor:
    """Attention from ops of its own: scores, softmax, and the values turned so that positions are the rows."""
    scores = ops.soft_max(ops.mul_mat(k, q), m, scale, max_bias)
    return ops.permute(ops.mul_mat(ops.cont(ops.transpose(v)), scores), 0, 2, 1, 3)


@pytest.mark.parametrize("type", ["f32", "f16"])
@pytest.mark.parametrize(("masked", "max_bias"), [(False, 0.0), (True, 0.0), (True, 8.0)])
@pytest.mark.parametrize(("n_tokens", "n_kv", "d"), [(1, 40, 24), (9, 65, 64), (35, 35, 20)])
def test_fused_attention_is_what_its_parts_give(
    type: str, masked: bool, max_bias: float, n_tokens: int, n_kv: int, d: int
) -> None:
    ctx, rng = Context(), np.random.default_rng(d)
    q = ctx.tensor(normal(rng, (4, n_tokens, d)))
    k, v = (ctx.tensor(normal(rng, (2, n_kv, d)), type=type) for _ in range(2))
    m = ctx.tensor(with_infinities(rng, (n_tokens, n_kv))) if masked else None
    fused, parts = ops.flash_attn_ext(q, k, v, m, 0.2, max_bias), composed(q, k, v, m, 0.2, max_bias)
    g = Graph()
    g.build_forward_expand(fused)
    g.build_forward_expand(parts)
    every_way(fused, g, [q, k, v], lambda got: near(got, parts.numpy().astype(np.float64), ATTENTION))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("type", ["f32", "f16"])
def test_a_query_that_sees_one_position_gets_its_value(type: str, isa: str) -> None:
    ctx, rng = Context(), np.random.default_rng(0)
    n = 150  # several blocks
    q, k, v = (normal(rng, (1, n, 24)) for _ in range(3))
    one = rng.permutation(n)
    m = np.full((n, n), -np.inf, np.float32)
    m[np.arange(n), one] = 3
    values = ctx.tensor(v, type=type)
    y = ops.flash_attn_ext(ctx.tensor(q), ctx.tensor(k, type=type, packed=True), values, ctx.tensor(m))
    g = Graph()
    g.build_forward_expand(y)
    g.compute(threads=2, isa=isa)
    assert np.array_equal(y.numpy()[:, 0], values.numpy()[0, one].astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
def test_a_query_that_sees_nothing_gets_zeros(isa: str) -> None:
    ctx = Context()
    q, k, v = (ctx.tensor(np.ones((1, n, 8), np.float32)) for n in (3, 20, 20))
    m = ctx.tensor(np.array([[0] * 20, [-np.inf] * 20, [1] * 20], np.float32))
    nothing = ctx.tensor(np.ones((1, 0, 8), np.float32))
    some, none = ops.flash_attn_ext(q, k, v, m), ops.flash_attn_ext(q, nothing, nothing)
    g = Graph()
    g.build_forward_expand(some)
    g.build_forward_expand(none)
    g.compute(isa=isa)
    np.testing.assert_allclose(some.numpy()[:, 0, 0], [1, 0, 1], rtol=1e-6)
    assert not none.numpy().any()
