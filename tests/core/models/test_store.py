"""The store of keys and values: sizes, memory, types, groups."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui import Graph, ops
from ggtui.core.errors import UsageError
from ggtui.core.models.store import KV_TYPES, KeysValues, Store, pages_of
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.device import one_device


def store(n_layer: int, d: int, n_head_kv: int, n_ctx: int, type: str) -> Store:
    return Store([KeysValues(d, d, n_head_kv)] * n_layer, n_ctx, type, one_device("cpu"), batch=512)


def test_a_tensor_of_each_kind_a_layer() -> None:
    kv = store(3, 8, 2, 40, "f16")
    assert [t.name for t in kv.k] == [f"blk.{i}.k_cache" for i in range(3)]
    assert [t.name for t in kv.v] == [f"blk.{i}.v_cache" for i in range(3)]
    for t in (*kv.k, *kv.v):
        assert t.ne == (8, 64, 2, 1), "whole pages"
        assert t.type.name == "f16"
        assert not t.numpy().any()
    assert all(t.packed for t in kv.k)
    assert not any(t.packed for t in kv.v)


@pytest.mark.parametrize(("type", "size"), [("f16", 2), ("f32", 4), ("q8_0", 34 / 32)])
@pytest.mark.parametrize("n_ctx", [16, 32, 33, 1024])
def test_bytes(type: str, size: int, n_ctx: int) -> None:
    kv = store(2, 64, 3, n_ctx, type)
    assert kv.bytes_per_token == 2 * 2 * 3 * 64 * size
    assert kv.n_bytes == 2 * 2 * 3 * 64 * size * (-(-n_ctx // 64) * 64)  # whole pages


def test_a_large_prompt_moves_an_empty_cache_to_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    kv = store(2, 64, 3, 1024, "f16")
    moves: list[int] = []
    monkeypatch.setattr(kv.context, "use_huge_pages", lambda: moves.append(1) or Context.use_huge_pages(kv.context))
    for i, t in enumerate((*kv.k, *kv.v)):
        t.bytes()[::100] = i + 1
    kv.expect(256)
    assert not moves and all((t.bytes()[::100] == i + 1).all() for i, t in enumerate((*kv.k, *kv.v)))
    kv.expect(257)
    assert moves and not any(t.bytes().any() for t in (*kv.k, *kv.v))


def test_types() -> None:
    assert KV_TYPES == ("f16", "f32", "q8_0")
    with pytest.raises(UsageError, match="kv-type 'q4_0': choose one of f16, f32, q8_0"):
        store(1, 32, 1, 16, "q4_0")
    with pytest.raises(UsageError, match="kv-type q8_0: heads of 40 numbers are not whole blocks of 32; use f16"):
        Store([KeysValues(32, 40, 1)], 16, "q8_0", one_device("cpu"), batch=64)


@pytest.mark.parametrize("type", KV_TYPES)
def test_rows_written_are_rows_read(type: str) -> None:
    kv = store(1, 32, 2, 33, type)
    ctx, rng = Context(), np.random.default_rng(0)
    values = rng.integers(-100, 100, (2, 2, 4, 32)).astype(np.float32)  # k and v: (n_head_kv, n_tokens, d_head)
    values[..., 0] = 127  # so that they are whole numbers in q8_0 too
    at = np.array([0, 15, 31, 32])
    g = Graph()
    for cache, x in zip((kv.k[0], kv.v[0]), values, strict=True):
        g.build_forward_expand(ops.set_rows(cache, ctx.tensor(x), ctx.tensor(at)))
    g.compute(threads=2)
    for cache, x in zip((kv.k[0], kv.v[0]), values, strict=True):
        want = np.zeros((2, 64, 32))
        want[:, at] = x
        assert np.array_equal(cache.numpy(), want)


def test_set_rows_of_no_values() -> None:
    ctx = Context()
    table, rows = ctx.new_tensor("f16", (0, 32, 1), packed=True), ctx.tensor(np.zeros((1, 2, 0), np.float32))
    g = Graph()
    g.build_forward_expand(ops.set_rows(table, rows, ctx.tensor(np.array([1, 31], np.int32))))
    g.compute(threads=2)


def test_layers_of_one_window_are_a_group() -> None:
    layers = [KeysValues(8, 16, 1), KeysValues(16, 8, 2, 100), KeysValues(32, 32, 1), KeysValues(8, 8, 4, 100)]
    kv = Store(layers, 1000, "f32", one_device("cpu"), batch=64, n_sequences=3)
    assert [(g.window, g.layers, g.n_pages) for g in kv.groups] == [(0, (0, 2), 3 * 16), (100, (1, 3), 3 * 4)]
    assert kv.group_of == (0, 1, 0, 1)
    assert [t.ne for t in kv.k] == [(8, 3072, 1, 1), (16, 768, 2, 1), (32, 3072, 1, 1), (8, 768, 4, 1)]
    assert [t.ne for t in kv.v] == [(16, 3072, 1, 1), (8, 768, 2, 1), (32, 3072, 1, 1), (8, 768, 4, 1)]
    assert kv.bytes_per_token == 4 * (8 + 16 + 2 * (16 + 8) + 64 + 4 * 16)


@pytest.mark.parametrize(("n_ctx", "window", "batch", "n"), [
    (64, 0, 512, 1), (65, 0, 1, 2), (100_000, 4096, 512, 73), (100_000, 1, 1, 2), (128, 4096, 512, 2),
])  # fmt: skip
def test_pages_of_a_sequence(n_ctx: int, window: int, batch: int, n: int) -> None:
    assert pages_of(n_ctx, window, batch) == n


@pytest.mark.parametrize("type", KV_TYPES)
def test_a_page_is_copied_in_all_layers_of_its_group_alone(type: str) -> None:
    layers = [KeysValues(64, 32, 2), KeysValues(32, 32, 3, 9), KeysValues(32, 64, 1)]
    kv = Store(layers, 256, type, one_device("cpu"), batch=64)
    rng = np.random.default_rng(0)
    for t in (*kv.k, *kv.v):
        t.set(rng.integers(-9, 9, tuple(reversed(t.ne[:3]))).astype(np.float32))
    before = [t.numpy().copy() for t in (*kv.k, *kv.v)]
    kv.copy_page(0, 1, 3)
    for i, (was, t) in enumerate(zip(before, (*kv.k, *kv.v), strict=True)):
        if i % 3 != 1:
            was[:, 192:256] = was[:, 64:128]
        assert np.array_equal(t.numpy(), was)
