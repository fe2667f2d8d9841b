"""What ops of gradients refuse in a run, and that what comes back through fused attention is what comes back through
attention that is written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from every_way import ISAS, Array, graph_of, near

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops.optim import RATES

DEVICES = ("cpu", "reference")


def numbers(context: Context, *values: int) -> Tensor:
    return context.tensor(np.array(values, np.int32))


def normal(context: Context, *shape: int, seed: int = 0) -> Tensor:
    return context.tensor(np.random.default_rng(seed).standard_normal(shape, np.float32))


OUT_OF_RANGE: tuple[tuple[str, Callable[[Context], Tensor]], ...] = (
    ("add_rows: row 3 of 3", lambda c: ops.add_rows(normal(c, 3, 4), normal(c, 2, 4), numbers(c, 0, 3))),
    ("add_rows: row -1 of 3", lambda c: ops.add_rows(normal(c, 3, 4), normal(c, 2, 4), numbers(c, -1, 0))),
    ("cross_entropy: target 4 of 4", lambda c: ops.cross_entropy(normal(c, 2, 4), numbers(c, 0, 4))),
    ("cross_entropy: target -2 of 4", lambda c: ops.cross_entropy(normal(c, 2, 4), numbers(c, -2, 0))),
    (
        "cross_entropy_back: target 4 of 4",
        lambda c: ops.cross_entropy_back(normal(c, 2), normal(c, 2, 4), numbers(c, 4, 0)),
    ),
)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("words", "build"), OUT_OF_RANGE, ids=[words for words, _ in OUT_OF_RANGE])
def test_an_index_out_of_range(words: str, build: Callable[[Context], Tensor], device: str) -> None:
    with pytest.raises(GgtuiError, match=f"{words} is out of range"):
        graph_of(build(Context())).compute(threads=2, device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_more_queries_than_positions_cannot_be_causal(device: str) -> None:
    c = Context()
    q, k, g = normal(c, 3, 4), normal(c, 2, 4), normal(c, 3, 1, 4)
    with pytest.raises(GgtuiError, match="3 queries for 2 positions"):
        graph_of(ops.flash_attn_back(q, k, k, None, g, causal=True)).compute(threads=2, device=device)


def written_out(q: Tensor, k: Tensor, v: Tensor, n_past: int) -> Tensor:
    """flash_attn_ext in single steps, (d_v, n_head, n_tokens)."""
    weights = ops.soft_max(ops.diag_mask_inf(ops.mul_mat(k, q), n_past), scale=0.3)
    return ops.permute(ops.mul_mat(ops.transpose(v), weights), 0, 2, 1, 3)


@pytest.mark.parametrize("isa", ISAS)
def test_attention_gives_back_what_its_single_steps_do(isa: str) -> None:
    c = Context()
    q, k, v = normal(c, 4, 67, 24), normal(c, 2, 70, 24, seed=1), normal(c, 2, 70, 17, seed=2)
    weights = normal(c, 67, 4, 17, seed=3)
    found: list[list[Array]] = []
    for y in (ops.flash_attn_ext(q, k, v, scale=0.3, causal=True), written_out(q, k, v, 3)):
        graph = Graph()
        made = graph.build_backward_expand(ops.sum(ops.mul(weights, y)), [q, k, v])
        graph.compute(threads=2, isa=isa)
        found.append([t.numpy().astype(np.float64) for t in made])
    for got, want in zip(*found, strict=True):
        near(got, want, 1e-11)


@pytest.mark.parametrize("isa", ISAS)
def test_a_sum_of_many_rows_loses_none(isa: str) -> None:
    """Added one after the other in f32, a hundred thousand tenths are off by a ten thousandth part."""
    g = Context().tensor(np.full((100_000, 3), 0.1, np.float32))
    for like in (Context().new_tensor("f32", (3,)), Context().new_tensor("f32", (1,))):
        y = ops.repeat_back(g, like)
        graph_of(y).compute(threads=2, isa=isa)
        np.testing.assert_allclose(y.numpy(), float(np.float32(0.1)) * g.n_elements / like.n_elements, rtol=3e-5)


def test_steps_follow_each_other() -> None:
    """The same plan run again and again: what one left is where the next begins. The gradient is that of w^2 / 2."""
    c, n_steps, rate = Context(), 40, 0.1
    state = c.tensor(np.stack([np.linspace(-3, 3, 33), np.zeros(33), np.zeros(33)]), "state")
    rates, w = c.new_tensor("f32", (len(RATES),)), ops.view(state, (33,))
    g = ops.cont(w)
    graph = graph_of(ops.opt_step_adamw(state, g, rates, ops.sum(ops.sum_sqr(g))))
    want, m, v = np.linspace(-3, 3, 33), np.zeros(33), np.zeros(33)
    for n in range(1, n_steps + 1):
        rates.set(np.array([rate, 0.9, 0.99, 1e-8, 0.0, 1 / (1 - 0.9**n), 1 / (1 - 0.99**n), 1.0], np.float32))
        graph.compute(threads=2)
        clipped = want / max(1.0, math.sqrt((want**2).sum()))
        m, v = 0.9 * m + 0.1 * clipped, 0.99 * v + 0.01 * clipped**2
        want = want - rate * m / (1 - 0.9**n) / (np.sqrt(v / (1 - 0.99**n)) + 1e-8)
    got = state.numpy()[0].copy()
    got[16] = want[16]  # of 0 there is no gradient, and rounding decides
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert np.abs(got).max() < 1
