"""Attention on a Vulkan device against numpy: pages, windows, grouped heads, masks, sizes of a run, and bad data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dim import Dim
from ggtui.core.runtime.cases.attention import Batch, distances, heads, hides_all, mask
from ggtui.core.runtime.cases.base import Array, Given, f32
from ggtui.core.runtime.check import compare, reference_result
from ggtui.core.runtime.compute import shared_pool

BOUND = 1e-9
PAGE = ops.PAGE
SEVERAL = ((70, 1), (1100, 1), (5, 5), (1, 1), (300, 21))  # tokens of each sequence, and how many are read now

Build = Callable[..., Tensor]


def run(y: Tensor, values: Mapping[str, int] | None = None) -> None:
    """On the device; raises GgtuiError for what its node met."""
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan")
    assert [node.device for node in plan.info(1).nodes if node.op == y.op] == ["vulkan"]
    plan.run(shared_pool("vulkan", 1), values)


def holds(y: Tensor, values: Mapping[str, int] | None = None) -> None:
    want = reference_result(y, values)
    run(y, values)
    nmse, problem = compare(y.numpy(), want, BOUND)
    assert problem == "", (nmse, problem)


def made(given: Mapping[str, Given], build: Build, **options: float) -> Tensor:
    context, rng = Context(), np.random.default_rng(3)
    return build(**{name: g.tensor(context, rng) for name, g in given.items()}, **options)


def as_rows(given: Mapping[str, Given]) -> dict[str, Given]:
    """Keys as the device keeps them."""
    return {name: Given(g.shape, g.type, False, g.layout, g.values) for name, g in given.items()}


paged = partial(made, build=ops.paged_attention)
flash = partial(made, build=ops.flash_attn_ext)


@pytest.mark.parametrize(
    "type, n_head, n_head_kv, d",
    [*((type, 4, 1, 64) for type in ops.KV_TYPES), ("f16", 3, 3, 128), ("q8_0", 4, 2, 256)],
)
def test_sequences_in_scattered_pages(type: str, n_head: int, n_head_kv: int, d: int) -> None:
    given = as_rows(Batch(SEVERAL).given(n_head, n_head_kv, d, d, type))
    holds(paged(given, scale=d**-0.5))


@pytest.mark.parametrize("type, d_k, d_v", [("f16", 80, 80), ("f16", 15, 17), ("f32", 512, 42)])
def test_lengths_of_keys_and_values(type: str, d_k: int, d_v: int) -> None:
    holds(paged(as_rows(Batch(((130, 3), (9, 2))).given(2, 1, d_k, d_v, type)), scale=0.1))


@pytest.mark.parametrize("n_head, n_head_kv", [(7, 1), (18, 2)])
def test_heads_that_share_a_key_head(n_head: int, n_head_kv: int) -> None:
    given = as_rows(Batch(((70, 9), (3, 1))).given(n_head, n_head_kv, 32, 32, "f16"))
    holds(paged(given | {"sinks": f32(n_head)}, scale=0.2))


@pytest.mark.parametrize("window", [1, 15, 64, 257])
def test_windows(window: int) -> None:
    holds(paged(as_rows(Batch(SEVERAL, window).given(4, 1, 32, 32, "f16")), scale=0.2))


def test_keys_in_tiles_are_copied_as_rows() -> None:
    holds(paged(Batch(SEVERAL).given(4, 1, 32, 32, "f16"), scale=0.2))


@pytest.mark.parametrize("softcap", [0.5, 50.0])
def test_scores_are_capped(softcap: float) -> None:
    given = as_rows(Batch(SEVERAL).given(4, 1, 64, 64, "f32"))
    holds(paged(given, scale=1.0, softcap=softcap))


class Pages:
    """Keys and values of 2 heads in 4 pages, and a table of two rows: pages 3, 0 and 2, -1."""

    def __init__(self, tokens: list[tuple[int, int, int]]) -> None:
        self.context, self.rng = Context(), np.random.default_rng(5)
        self.k, self.v = (self.context.tensor(self.normal(2, 4 * PAGE, 32), packed=False) for _ in range(2))
        self.q = self.context.tensor(self.normal(4, len(tokens), 32))
        self.tokens = self.context.tensor(np.array(tokens, np.int32))
        self.pages = self.context.tensor(np.array([[3, 0], [2, -1]], np.int32))

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape, np.float32)

    def attention(self, sinks: Tensor | None = None) -> Tensor:
        return ops.paged_attention(self.q, self.k, self.v, self.tokens, self.pages, sinks, scale=0.3)


def test_tokens_in_any_order_see_any_positions() -> None:
    seen = [(0, 0, 1), (0, 90, 128), (0, 3, 3), (0, 5, 70), (1, 0, 64), (0, 1, 2), (1, 63, 64), (1, 64, 64), (1, 7, 9)]
    holds(Pages(seen).attention())


def test_a_token_that_sees_nothing_gives_zeros() -> None:
    for seen in ([(0, 9, 9)], [(1, 100, 100), (1, 0, 0)]):
        pages = Pages(seen)
        for sinks in (None, pages.context.tensor(pages.normal(4))):
            y = pages.attention(sinks)
            run(y)
            assert not y.numpy().any()


def test_what_no_token_sees_may_be_anything() -> None:
    pages = Pages([(0, 3, 70), (0, 4, 71)])
    for t in (pages.k, pages.v):
        values = t.numpy().copy()
        values[:, 3 * PAGE : 3 * PAGE + 3] = np.nan  # before the first, behind the last
        values[:, 7:PAGE] = np.inf
        t.set(values)
    holds(pages.attention())


@pytest.mark.parametrize("bad", [(2, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 2, 1), (0, 0, 129), (1, 60, 65)])
def test_bad_tokens_and_pages_fail(bad: tuple[int, int, int]) -> None:
    y = Pages([(0, 0, 9), bad, (1, 0, 3)]).attention()
    with pytest.raises(GgtuiError, match="out of range"):
        run(y)
    for page in (4, -2):  # what is not seen is not looked at
        pages = Pages([(0, 0, 64), (0, 3, 60)])
        pages.pages.set(np.array([[1, page], [page, page]], np.int32))
        holds(pages.attention())


def test_sizes_of_a_run() -> None:
    context, rng, batch = Context(), np.random.default_rng(7), Batch(SEVERAL)
    given = as_rows(batch.given(8, 2, 64, 64, "q8_0"))
    of = {name: g.tensor(context, rng) for name, g in given.items()}
    n = Dim("n_tokens", batch.n_tokens)
    q, tokens = context.new_tensor("f32", (64, n, 8)), context.new_tensor("i32", (3, n))
    q.set(of["q"].numpy())
    tokens.set(of["tokens"].numpy())
    y = ops.paged_attention(q, of["k"], of["v"], tokens, of["pages"], scale=0.2)
    for value in (batch.n_tokens, 1, 3, 0, 20):
        holds(y, {"n_tokens": value})


def test_views_with_gaps() -> None:
    pages = Pages([(0, 0, 100), (0, 0, 101), (1, 5, 60)])
    wide = pages.context.tensor(pages.normal(3, 6, 70))
    pages.q = ops.view(wide, (32, 3, 2), wide.nb[1:3], offset=wide.nb[1] + 4 * 3)
    pages.k, pages.v = (ops.view(t, (32, 4 * PAGE, 1), t.nb[1:3], offset=t.nb[2]) for t in (pages.k, pages.v))
    table = pages.context.tensor(np.array([[9, 9, 9], [3, 0, 9], [2, -1, 9]], np.int32))
    pages.pages = ops.view(table, (2, 2), table.nb[1:2], offset=table.nb[1])
    holds(pages.attention())


@pytest.mark.parametrize("type", ["f32", "f16"])
@pytest.mark.parametrize("n_tokens, n_kv", [(1, 1), (1, 1023), (33, 33), (3, 257), (0, 5), (2, 0)])
def test_keys_in_one_piece(type: str, n_tokens: int, n_kv: int) -> None:
    given = heads(4, n_tokens, n_kv, 64, 80, type, n_head_kv=2, ne3=2)
    holds(flash(given, scale=0.125))
    if n_tokens <= n_kv:
        holds(flash(given | {"sinks": f32(4)}, scale=0.125, causal=True))


@pytest.mark.parametrize("type", ["f32", "f16"])
def test_masks(type: str) -> None:
    given = heads(6, 9, 150, 64, 80, type, n_head_kv=3, ne3=2)
    for of in (mask(9, 150, type=type), mask(2, 3, 40, 150, type=type), mask(9, 150, type=type, values=hides_all)):
        holds(flash(given | {"mask": of}, scale=0.2))
    holds(flash(given | {"mask": mask(9, 150, type=type, values=distances), "sinks": f32(6)}, scale=0.2, max_bias=8.0))
    holds(flash(given | {"mask": mask(3, 9, 150, type=type, layout="permuted")}, scale=0.2, causal=True))


@pytest.mark.parametrize("layout", ["part", "turned", "permuted"])
def test_strides(layout: str) -> None:
    given = heads(4, 9, 35, 64, 80, "f16", n_head_kv=2)
    for name in ("q", "k") if layout == "turned" else ("q", "k", "v"):
        turned = Given(given[name].shape, given[name].type, layout=layout)
        holds(flash(given | {name: turned}, scale=0.2, causal=True))


def test_keys_in_one_piece_of_a_size_of_the_run() -> None:
    context, rng = Context(), np.random.default_rng(13)
    n, n_kv = Dim("n", 20), Dim("n_kv", 150)
    sizes = {"q": (64, n, 4), "k": (64, n_kv, 2), "v": (80, n_kv, 2), "mask": (n_kv, n)}
    of = {name: context.new_tensor("f32", ne) for name, ne in sizes.items()}
    for t in of.values():
        t.set(rng.standard_normal([int(i) for i in reversed(t.ne[: t.n_dims])], np.float32))
    y = ops.flash_attn_ext(of["q"], of["k"], of["v"], of["mask"], scale=0.2, causal=True)
    for values in ((20, 150), (1, 17), (7, 7), (0, 3), (19, 48)):
        holds(y, dict(zip(("n", "n_kv"), values, strict=True)))
    with pytest.raises(GgtuiError, match="flash_attn_ext"):
        run(y, {"n": 8, "n_kv": 7})


def test_what_is_too_long_runs_on_the_cpu() -> None:
    graph = Graph()
    graph.build_forward_expand(flash(heads(2, 3, 9, 516, 8, "f32"), scale=0.1))
    assert {node.device for node in graph.plan(device_name="vulkan").info(1).nodes} == {"cpu"}
