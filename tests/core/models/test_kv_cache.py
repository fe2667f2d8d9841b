"""The cache of keys and values: sizes, memory, types."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui import Graph, ops
from ggtui.core.errors import UsageError
from ggtui.core.models.kv_cache import KV_TYPES, KVCache
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.device import DEVICE


def test_a_tensor_of_each_kind_a_layer() -> None:
    kv = KVCache(3, 8, 2, 40, "f16", DEVICE.layout)
    assert [t.name for t in kv.k] == [f"blk.{i}.k_cache" for i in range(3)]
    assert [t.name for t in kv.v] == [f"blk.{i}.v_cache" for i in range(3)]
    for t in (*kv.k, *kv.v):
        assert t.ne == (8, 64, 2, 1), "whole pages"
        assert t.type.name == "f16"
        assert not t.numpy().any()
    assert all(t.packed for t in kv.k)
    assert not any(t.packed for t in kv.v)


@pytest.mark.parametrize(("type", "size"), [("f16", 2), ("f32", 4)])
@pytest.mark.parametrize("n_ctx", [16, 32, 33, 1024])
def test_bytes(type: str, size: int, n_ctx: int) -> None:
    kv = KVCache(2, 64, 3, n_ctx, type, DEVICE.layout)
    assert kv.bytes_per_token == 2 * 2 * 3 * 64 * size
    assert kv.n_bytes == 2 * 2 * 3 * 64 * size * (-(-n_ctx // 64) * 64)  # whole pages


def test_a_large_prompt_moves_an_empty_cache_to_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    kv = KVCache(2, 64, 3, 1024, "f16", DEVICE.layout)
    moves: list[int] = []
    monkeypatch.setattr(kv.context, "use_huge_pages", lambda: moves.append(1) or Context.use_huge_pages(kv.context))
    for n_past, n in ((0, 256), (1, 257), (300, 700)):
        for i, t in enumerate((*kv.k, *kv.v)):
            t.bytes()[::100] = i + 1
        kv.make_room(n_past, n)
        assert not moves and all((t.bytes()[::100] == i + 1).all() for i, t in enumerate((*kv.k, *kv.v)))
    kv.make_room(0, 257)
    assert moves and not any(t.bytes().any() for t in (*kv.k, *kv.v))


def test_types() -> None:
    assert KV_TYPES == ("f16", "f32")
    with pytest.raises(UsageError, match="kv-type 'q8_0': choose one of f16, f32"):
        KVCache(1, 8, 1, 16, "q8_0", DEVICE.layout)


@pytest.mark.parametrize("type", KV_TYPES)
def test_rows_written_are_rows_read(type: str) -> None:
    kv = KVCache(1, 8, 2, 33, type, DEVICE.layout)
    ctx, rng = Context(), np.random.default_rng(0)
    values = rng.integers(-100, 100, (2, 2, 4, 8)).astype(np.float32)  # k and v: (n_head_kv, n_tokens, d_head)
    at = np.array([0, 15, 31, 32])
    g = Graph()
    for cache, x in zip((kv.k[0], kv.v[0]), values, strict=True):
        g.build_forward_expand(ops.set_rows(cache, ctx.tensor(x), ctx.tensor(at)))
    g.compute(threads=2)
    for cache, x in zip((kv.k[0], kv.v[0]), values, strict=True):
        want = np.zeros((2, 64, 8))
        want[:, at] = x
        assert np.array_equal(cache.numpy(), want)


def test_set_rows_of_no_values() -> None:
    ctx = Context()
    table, rows = ctx.new_tensor("f16", (0, 32, 1), packed=True), ctx.tensor(np.zeros((1, 2, 0), np.float32))
    g = Graph()
    g.build_forward_expand(ops.set_rows(table, rows, ctx.tensor(np.array([1, 31], np.int32))))
    g.compute(threads=2)
