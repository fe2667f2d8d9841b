"""Sizes that are set anew for each run: every op that a model uses them with, at several values, one plan for all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from every_way import ISAS, Array, near

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import OPS
from ggtui.core.runtime.cases.attention import with_infinities
from ggtui.core.runtime.cases.base import ATTENTION, DEFAULT, EXACT, MUL_MAT, normal
from ggtui.core.runtime.check import reference_result
from ggtui.core.runtime.cpu.plan import Pool

N, KV = 20, 50  # the largest
VALUES = ((20, 50), (1, 17), (7, 7), (0, 3), (3, 50), (19, 48))


class Inputs:
    """Tensors as large as they can get."""

    def __init__(self) -> None:
        self.ctx, self.rng = Context(), np.random.default_rng(11)
        self.n, self.kv = Dim("n", N), Dim("n_kv", KV)

    def f32(self, *ne: int) -> Tensor:
        return self.filled(normal(self.rng, tuple(reversed(ne))), ne)

    def filled(self, values: Array, ne: tuple[int, ...], type: str = "f32", packed: bool = False) -> Tensor:
        t = self.ctx.new_tensor(type, ne, packed=packed)
        t.set(values)
        return t

    def weights(self, k: int, m: int, type: str) -> Tensor:
        return self.ctx.tensor(normal(self.rng, (m, k)), type=type, packed=True)

    def numbers(self, ne: int, high: int) -> Tensor:
        return self.filled(self.rng.permutation(high)[: int(ne)].astype(np.int32), (ne,), "i32")


def elementwise(i: Inputs) -> Tensor:
    return ops.silu(ops.scale(ops.add(i.f32(33, i.n), i.f32(33)), 2.0))


def two_alike(i: Inputs) -> Tensor:
    x, y = i.f32(33, i.n, 3), i.f32(33, i.n, 3)
    return ops.swiglu(ops.mul(x, y), y)


def summed(i: Inputs) -> Tensor:
    return ops.sum(ops.sum_rows(i.f32(33, i.n, 2)))


def long_rows(i: Inputs) -> Tensor:
    return ops.soft_max(i.f32(i.kv, 5, 2), scale=0.5)


def copied(i: Inputs) -> Tensor:
    return ops.cont(ops.permute(i.f32(33, i.n, 2), 0, 2, 1, 3))


def turned(i: Inputs) -> Tensor:
    return ops.cont(ops.transpose(i.f32(33, i.n)))


def joined(i: Inputs) -> Tensor:
    return ops.concat(i.f32(33, i.n), i.f32(20, i.n), 0)


def repeated(i: Inputs) -> Tensor:
    return ops.repeat(i.f32(33), i.f32(66, i.n))


def written_into(i: Inputs) -> Tensor:
    return ops.cpy(i.f32(33, i.n), i.filled(normal(i.rng, (N, 33)), (33, i.n), "f16"))


def reshaped(i: Inputs) -> Tensor:
    return ops.cont(ops.permute(ops.reshape(ops.sqr(i.f32(32, i.n)), 8, 4, i.n), 0, 2, 1, 3))


def picked(i: Inputs) -> Tensor:
    return ops.get_rows(i.f32(33, 40), i.numbers(i.n, 40))


def masked(i: Inputs) -> Tensor:
    return ops.soft_max(ops.diag_mask_inf(i.f32(i.kv, i.n, 2), i.n))


def roped(i: Inputs) -> Tensor:
    return ops.rope(i.f32(16, 3, i.n), i.numbers(i.n, 500))


def layer(type: str) -> Callable[[Inputs], Tensor]:
    """A norm with weights, a product with bias and activation, another one added to the input."""

    def build(i: Inputs) -> Tensor:
        x, w, b, c = i.f32(64, i.n), i.f32(64), i.f32(64), i.f32(96)
        up, down = i.weights(64, 96, type), i.weights(96, 64, type)
        hidden = ops.silu(ops.add(ops.mul_mat(up, ops.add(ops.mul(ops.norm(x), w), b)), c))
        return ops.add(ops.mul_mat(down, hidden), x)

    return build


def scores(i: Inputs) -> Tensor:
    return ops.mul_mat(i.f32(24, i.kv, 2), i.f32(24, i.n, 4))


def flash(type: str, packed: bool) -> Callable[[Inputs], Tensor]:
    """Queries against the first n_kv positions of a cache, under a mask."""

    def build(i: Inputs) -> Tensor:
        q = i.f32(24, i.n, 4)
        caches = [i.ctx.tensor(normal(i.rng, (2, KV + 9, 24)), type=type, packed=packed and not j) for j in range(2)]
        m = i.filled(with_infinities(i.rng, (N, KV)), (i.kv, i.n))
        k, v = (ops.view(t, (24, i.kv, 2)) for t in caches)
        return ops.flash_attn_ext(q, k, v, m, 0.2)

    return build


GRAPHS: tuple[tuple[str, Callable[[Inputs], Tensor], float], ...] = (
    ("elementwise", elementwise, DEFAULT),
    ("two_alike", two_alike, DEFAULT),
    ("sum", summed, DEFAULT),
    ("long_rows", long_rows, DEFAULT),
    ("cont-permute", copied, EXACT),
    ("cont-transpose", turned, EXACT),
    ("concat", joined, EXACT),
    ("repeat", repeated, EXACT),
    ("cpy", written_into, EXACT),
    ("reshape", reshaped, DEFAULT),
    ("get_rows", picked, EXACT),
    ("diag_mask_inf", masked, DEFAULT),
    ("rope", roped, DEFAULT),
    *((f"layer-{type}", layer(type), MUL_MAT) for type in ("f32", "f16", "q8_0", "q4_0")),
    ("scores", scores, MUL_MAT),
    *(
        (f"flash-{type}-{packed}", flash(type, packed), ATTENTION)
        for type in ("f32", "f16")
        for packed in (False, True)
    ),
)


@pytest.mark.parametrize(("build", "bound"), [row[1:] for row in GRAPHS], ids=[row[0] for row in GRAPHS])
def test_every_size_in_turn(build: Callable[[Inputs], Tensor], bound: float) -> None:
    y = build(Inputs())
    want = [reference_result(y, {"n": n, "n_kv": n_kv}) for n, n_kv in VALUES]
    g = Graph()
    g.build_forward_expand(y)
    for isa in ISAS:
        for fused in (False, True):
            for (n, n_kv), expected in zip(VALUES, want, strict=True):
                results = []
                for threads in (1, 3):
                    g.plan(isa=isa, fused=fused).arena[...] = 0xFF
                    g.compute(threads, {"n": n, "n_kv": n_kv}, isa=isa, fused=fused)
                    results.append(y.numpy().copy())
                near(results[0], expected, bound)
                assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("type", ["f16", "f32"])
def test_a_cache_that_grows(type: str) -> None:
    """Keys and values written at their positions, read at the length reached, in steps of several sizes."""
    ctx, rng = Context(), np.random.default_rng(3)
    n, n_kv, d, n_head, n_ctx = Dim("n_tokens", 8), Dim("n_kv", 40), 20, 3, 40
    q, k, v = (ctx.new_tensor("f32", (d, n, n_head)) for _ in range(3))
    at = ctx.new_tensor("i32", (n,))
    k_cache, v_cache = ctx.new_tensor(type, (d, n_ctx, n_head), packed=True), ctx.new_tensor(type, (d, n_ctx, n_head))
    k_all, v_all = ops.set_rows(k_cache, k, at), ops.set_rows(v_cache, v, at)
    y = ops.flash_attn_ext(q, *(ops.view(t, (d, n_kv, n_head)) for t in (k_all, v_all)), scale=0.3, causal=True)
    g = Graph()
    g.build_forward_expand(y)
    history = np.zeros((2, n_head, 0, d), np.float32)
    for step in (8, 1, 1, 5, 8, 1, 7):
        new = normal(rng, (3, n_head, 8, d))
        for t, x in zip((q, k, v), new, strict=True):
            t.set(x)
        n_past = history.shape[2]
        at.set(np.arange(n_past, n_past + 8))
        history = np.concatenate([history, new[1:, :, :step]], axis=2)
        g.compute(2, {"n_tokens": step, "n_kv": n_past + step})
        keys, values = history.astype(type.replace("f", "float")).astype(np.float64)
        queries = new[None, 0, :, :step].astype(np.float64)
        want = OPS["flash_attn_ext"].reference((0.3, 0.0, True), queries, keys[None], values[None])
        near(y.numpy(), want[0], ATTENTION)


@pytest.mark.parametrize(("n_head", "n_head_kv"), [(6, 6), (6, 2), (4, 1)])
@pytest.mark.parametrize("threads", [1, 2, 3, 5, 6])
def test_a_cache_that_grows_by_one(threads: int, n_head: int, n_head_kv: int) -> None:
    """However threads share heads: as many each, or not, or fewer heads than threads. A thread that reads beside the
    heads that it stored itself finds what another one has not stored yet."""
    ctx, rng = Context(), np.random.default_rng(4)
    n_kv, d, n_ctx = Dim("n_kv", 100), 24, 100
    q, k, v = (ctx.new_tensor("f32", (d, 1, n)) for n in (n_head, n_head_kv, n_head_kv))
    at = ctx.new_tensor("i32", (1,))
    caches = ctx.new_tensor("f32", (d, n_ctx, n_head_kv), packed=True), ctx.new_tensor("f32", (d, n_ctx, n_head_kv))
    for cache in caches:
        cache.set(np.full((n_head_kv, n_ctx, d), np.nan, np.float32))
    stored = [ops.set_rows(cache, ops.neg(x), at) for cache, x in zip(caches, (k, v), strict=True)]
    y = ops.flash_attn_ext(q, *(ops.view(t, (d, n_kv, n_head_kv)) for t in stored), scale=0.3, causal=True)
    g = Graph()
    g.build_forward_expand(y)
    history = np.zeros((2, n_head_kv, 0, d))
    for n_past in range(100):
        new = [normal(rng, (n, 1, d)) for n in (n_head, n_head_kv, n_head_kv)]
        for t, x in zip((q, k, v), new, strict=True):
            t.set(x)
        at.set(np.array([n_past]))
        history = np.concatenate([history, -np.array(new[1:], np.float64)], axis=2)
        g.compute(threads, {"n_kv": n_past + 1})
        want = OPS["flash_attn_ext"].reference(
            (0.3, 0.0, True), new[0][None].astype(np.float64), *history[:, None], None
        )
        near(y.numpy(), want[0], ATTENTION)


def one() -> tuple[Graph, Tensor]:
    ctx = Context()
    x = ctx.new_tensor("f32", (3, Dim("n", 8)))
    x.set(np.ones((8, 3), np.float32))
    y = ops.scale(x, 2.0)
    g = Graph()
    g.build_forward_expand(y)
    return g, y


def test_the_result_has_the_size_of_the_run() -> None:
    g, y = one()
    for n in (8, 0, 5):
        g.compute(values={"n": n})
        assert y.shape == y.numpy().shape == (n, 3)


def test_of_another_type_too() -> None:
    _, y = one()
    half = ops.cast(y, "bf16")
    g = Graph()
    g.build_forward_expand(half)
    g.compute(values={"n": 5})
    assert half.numpy().tolist() == [[2.0] * 3] * 5


@pytest.mark.parametrize("n", [9, -1, 2**31, 2**40, 2**70])
def test_out_of_range(n: int) -> None:
    g, y = one()
    g.compute(values={"n": 5})
    with pytest.raises(UsageError, match=f"n is {n}; must be 0 to 8"):
        g.compute(values={"n": n})
    assert y.numpy().tolist() == [[2.0] * 3] * 5
    g.compute(values={"n": 8})
    assert y.shape == (8, 3)


def test_missing() -> None:
    g, _ = one()
    for values in (None, {}, {"m": 3}):
        with pytest.raises(UsageError, match="no value for n"):
            g.compute(values=values)


def test_a_number_that_is_set_anew() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones((3, 9), np.float32))
    y = ops.diag_mask_inf(x, Dim("n_past", 6))
    g = Graph()
    g.build_forward_expand(y)
    for n_past in (0, 6, 2):
        g.compute(values={"n_past": n_past})
        assert np.isfinite(y.numpy()).sum(axis=1).tolist() == [n_past + 1, n_past + 2, n_past + 3]
    with pytest.raises(UsageError, match="n_past is 7"):
        g.compute(values={"n_past": 7})


def test_one_plan_on_several_pools() -> None:
    """Runs of one plan on pools of different sizes, one after the other."""
    g, y = one()
    plan = g.plan()
    for threads in (1, 7, 2, 3):
        plan.run(Pool(threads), {"n": threads})
        assert y.shape == (threads, 3)
        assert (y.numpy() == 2).all()
    with pytest.raises(GgtuiError, match="no value"):
        plan.run(Pool(1))
