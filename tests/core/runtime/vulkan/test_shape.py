"""Ops that move values on a Vulkan device: all of it is exact, the bits of what is stored included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError
from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.cases import base
from ggtui.core.runtime.check import compare, reference_result, select
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.vulkan.kernels import kernel_of

PLAIN = ("f32", "f16", "bf16", "i32")


def run(y: Tensor, values: dict[str, int] | None = None) -> NDArray[np.float32]:
    """What the device makes of it, which it does itself."""
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan")
    on = [node.device for node in plan.info(1).nodes if node.op == y.op]
    assert on == ["vulkan"]
    plan.run(shared_pool("vulkan", 1), values)
    return y.numpy()


def moved(y: Tensor) -> bool:
    """Whether the device does it: no decoding, and no encoding of blocks but of q8_0 rows."""
    graph = Graph()
    graph.build_forward_expand(y)
    return kernel_of(graph.dag().nodes[-1]) is not None


@pytest.mark.parametrize(("op", "n"), [("dup", 138), ("cont", 59), ("cpy", 32), ("repeat", 8), ("concat", 51)])
def test_cases(op: str, n: int, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "Context", lambda: context)
    done = 0
    for case in select([op]):
        y, operands = case.make()
        on_device = all(t.buffer is not None and t.buffer.device == "vulkan" for t in operands)
        if moved(y) and (on_device or op != "cpy"):
            done += 1
            want = reference_result(y)
            assert compare(run(y), want, case.bound)[1] == "", str(case)
    assert done == n


def test_set_rows_cases(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    class Keys(Context):
        def new_tensor(
            self,
            type: str | TensorType,
            ne: Sequence[int],
            name: str = "",
            *,
            packed: bool | None = None,
            use: str = "inputs",
        ) -> Tensor:
            return context.new_tensor(type, ne, name, use="keys" if type == "q8_0" else use)

    done = 0
    for case in select(["set_rows"]):
        want = reference_result(case.make()[0])
        with monkeypatch.context() as patched:
            patched.setattr(base, "Context", Keys)
            y, (a, *_) = case.make()
        if a.type.name in ("f32", "f16", "i32", "q8_0"):
            done += 1
            assert compare(run(y), want, case.bound)[1] == "", str(case)
    assert done == 27


def bits(t: Tensor) -> NDArray[np.uint8]:
    """The bytes of a tensor without gaps."""
    assert t.buffer is not None
    return t.buffer.read(t, t.n_bytes).copy()


def many_floats() -> NDArray[np.float32]:
    """All that 16 bits can say and the f32 beside it and half way to the next, and any bits at all."""
    halves = np.arange(1 << 16, dtype=np.uint16)
    rng = np.random.default_rng(1)
    exact = np.concatenate([halves.view(np.float16).astype(np.float32).view(np.uint32), halves.astype(np.uint32) << 16])
    near = [exact + np.uint32(step) for step in (0, 1, -1 & 0xFFFFFFFF, 0xFFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001)]
    return np.concatenate([*near, rng.integers(0, 1 << 32, 1 << 16, dtype=np.uint32)]).view(np.float32)


def test_f32_to_f16_and_back(context: Context) -> None:
    """To nearest even, denormals too; infinity from 65520 on."""
    x = many_floats()
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    got = run(ops.cast(context.tensor(x), "f16"))
    number = ~np.isnan(x)
    assert np.array_equal(got.view(np.uint16)[number], want.view(np.uint16)[number])
    assert np.isnan(got[~number]).all()
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    back = run(ops.cast(context.tensor(halves), "f32"))
    number = ~np.isnan(halves)
    assert np.array_equal(back[number], halves.astype(np.float32)[number])
    assert np.isnan(back[~number]).all()


@pytest.mark.parametrize("target", ["f16", "bf16", "i32"])
def test_f32_to_others_as_the_cpu_has_them(target: str, context: Context) -> None:
    x = many_floats()
    got, want = ops.cast(context.tensor(x), target), ops.cast(Context().tensor(x), target)
    run(got)
    graph = Graph()
    graph.build_forward_expand(want)
    graph.compute()
    assert np.array_equal(bits(got), bits(want))


@pytest.mark.parametrize("source", PLAIN)
@pytest.mark.parametrize("target", PLAIN)
def test_strides_of_any_kind(source: str, target: str, context: Context) -> None:
    """Views with gaps and offsets, turned and repeated ones."""
    values = np.random.default_rng(1).integers(-60000, 60000, (3, 9, 80))
    a = Context().tensor(values, type=source) if source == "bf16" else context.tensor(values, type=source)
    size = a.type.bytes
    for look in (
        ops.view(a, (70, 4, 3), (2 * a.nb[1], a.nb[2]), offset=3 * size),
        ops.permute(ops.view(a, (70, 4, 3), (2 * a.nb[1], a.nb[2]), offset=3 * size), 2, 0, 1, 3),
        ops.view(a, (5, 7), (0,)),
        ops.view(a, (70, 3), (size,)),  # rows that overlap
    ):
        y = ops.cast(look, target)
        want = reference_result(y)
        assert compare(run(y), want, base.EXACT)[1] == ""


@pytest.mark.parametrize("n", [0, 1, 5, 16])
def test_run_time_sizes(n: int, context: Context) -> None:
    rng = np.random.default_rng(1)
    store = context.tensor(rng.standard_normal((2, 16, 96)).astype(np.float32))
    dim = Dim("n", 16)
    a = ops.view(store, (96, dim, 2), store.nb[1:3])
    for y in (ops.cont(a), ops.cast(a, "f16"), ops.concat(a, a, 2), ops.concat(a, a, 0), ops.cont(ops.transpose(a))):
        want = reference_result(y, {"n": n})
        assert compare(run(y, {"n": n}), want, base.EXACT)[1] == ""
    half = context.tensor(np.zeros((16, 2, 96), np.float16))
    y = ops.cpy(ops.permute(a, 0, 2, 1, 3), ops.view(half, (96, 2, dim), half.nb[1:3]))
    want = reference_result(y, {"n": n})
    assert compare(run(y, {"n": n}), want, base.EXACT)[1] == ""
    assert not half.numpy()[n:].any()


def test_rows_of_another_length(context: Context) -> None:
    """Between gaps on both sides, by rows and counted."""
    values = np.random.default_rng(1).standard_normal((24, 100)).astype(np.float32)
    for ne in ((80, 15), (40, 30), (1200,)):
        a = ops.view(context.tensor(values), (50, 24), (400,))
        target = context.tensor(np.zeros((*ne[:0:-1], ne[0] + 3), np.float16))
        y = ops.cpy(a, ops.view(target, ne, target.nb[1 : len(ne)]))
        assert np.array_equal(run(y), values[:, :50].astype(np.float16).reshape(ne[::-1]))


def blocks() -> NDArray[np.float32]:
    """Rows of blocks of all sizes, with halves that round away from 0 and what q8_0 can't hold."""
    rng = np.random.default_rng(1)
    sizes = 2.0 ** rng.integers(-90, 40, (400, 8, 1))
    x = (sizes * rng.standard_normal((400, 8, 32))).astype(np.float32)
    x[:20] = rng.integers(-254, 255, (20, 8, 32)) / np.float32(2)
    x[:20, :, 0] = 127  # scale 1: halves
    x[20, 0, 5], x[20, 1, 6], x[20, 2, 7] = np.nan, np.inf, -np.inf
    x[21], x[22, 0], x[22, 1] = 0, 65520 * 127.0, 65519 * 127.0
    x[23, :, 3], x[24, :, 4] = 3e38, -3e38
    return x.reshape(400, 256)


def test_q8_0_rows_have_the_bits_of_the_cpu(context: Context) -> None:
    x = blocks()
    rows = np.random.default_rng(1).permutation(400).astype(np.int32)
    made = {}
    for where, memory in (("vulkan", context), ("cpu", Context())):
        store = memory.new_tensor("q8_0", (256, 400), use="keys", packed=False)
        y = ops.set_rows(store, memory.tensor(x), memory.tensor(rows))
        graph = Graph()
        graph.build_forward_expand(y)
        plan = graph.plan(device_name=where)
        assert {node.device for node in plan.info(1).nodes if node.op != "submit"} == {where}
        plan.run(shared_pool(where, 1))
        made[where] = bits(store).reshape(400, 8, 34)
    assert np.array_equal(made["vulkan"], made["cpu"])


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 33])
@pytest.mark.parametrize("d", [32, 128])
def test_writes_of_keys(type: str, n: int, d: int, context: Context) -> None:
    """Fewer tokens than there is room for, of heads that lie beside each other, into a store of heads; positions that
    come again are written in the order of the tokens."""

    def written(memory: Context) -> Tensor:
        rng = np.random.default_rng(1)
        n_heads, n_positions = 3, 20
        k = memory.tensor(rng.standard_normal((33, n_heads, d)).astype(np.float32))
        dim = Dim("n", 33)
        rows = ops.permute(ops.view(k, (d, n_heads, dim), k.nb[1:3]), 0, 2, 1, 3)
        store = memory.new_tensor(type, (d, n_positions, n_heads), use="keys")
        places = memory.tensor(rng.integers(0, n_positions, 33).astype(np.int32))
        return ops.set_rows(store, rows, ops.view(places, (dim,)))

    want = reference_result(written(Context()), {"n": n})
    assert compare(run(written(context), {"n": n}), want, base.EXACT)[1] == ""


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("bad", [-1, 5, 1 << 30, -(1 << 31)])
def test_row_out_of_range(type: str, bad: int, context: Context) -> None:
    """Fails, writes nothing outside, and the next run is fine."""
    store = context.new_tensor(type, (32, 15), use="keys")
    middle = ops.view(store, (32, 5), (store.nb[1],), offset=5 * store.nb[1])
    rows = context.tensor(np.array([1, bad, 3], np.int32))
    y = ops.set_rows(middle, context.tensor(np.full((3, 32), 127, np.float32)), rows)
    with pytest.raises(GgtuiError, match="set_rows"):
        run(y)
    assert not store.numpy()[:5].any() and not store.numpy()[10:].any()
    rows.set(np.array([1, 4, 3], np.int32))
    assert np.array_equal(run(y)[:, 0], [0, 127, 0, 127, 127])


def test_what_is_left_to_the_cpu() -> None:
    memory = Context()
    x, q = memory.new_tensor("f32", (64, 3)), memory.new_tensor("q8_0", (64, 3))
    assert not moved(ops.cast(x, "q8_0")) and not moved(ops.cast(q, "f32"))
    assert moved(ops.cont(q)) and moved(ops.cpy(q, memory.new_tensor("q8_0", (96, 2))))
    rows = memory.new_tensor("i32", (2,))
    assert not moved(ops.set_rows(memory.new_tensor("q4_0", (64, 3)), ops.view(x, (64, 2)), rows))
