"""Each kernel of a device alone, by what every device has: graphs of one op, and the records of their runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.device import Device
from ggtui.core.runtime.record import COLUMNS, Limits
from ggtui.perf.kernels import KernelTime, judged

# A product: length and number of the rows of its weights, and columns. The large one of each pair is measured where the
# small one says that it takes no longer than _LONG: a driver that computes on the processor would take seconds.
PRODUCTS = (((1024, 1024, 1), (4096, 4096, 1)), ((1024, 1024, 32), (1024, 1024, 512)))
ROW, N_ROWS = 1024, (1, 512)  # of the ops on rows: a token, and a prompt
D_HEAD, N_HEADS, N_KV = 64, 12, 512
_SECONDS, _RUNS = 0.02, 5  # of measuring a kernel, and runs at least
_LONG = 20e6  # nanoseconds
_DIFFERENT = 16  # rows of weights; the others are these again
_NODE, _START, _END = (COLUMNS.index(name) for name in ("node", "start", "end"))


def kernel_times(device: Device, limits: Limits | None) -> Iterator[KernelTime]:
    """Products of each type that the device keeps as weights, attention, and ops on rows. What it leaves to another
    device is left out."""
    alone = _Alone(device, limits)
    for kind in TYPES.values():
        if lib.gg_packable(kind.id) and device.home("w", kind, "weights").name == device.name:
            for small, large in PRODUCTS:
                measured = alone.product(kind, *small)
                yield from measured
                if all(row.ns * _operations(large) / _operations(small) < _LONG for row in measured):
                    yield from alone.product(kind, *large)
    for name in ("f16", "q8_0"):
        if device.home("k", TYPES[name], "keys").name == device.name:
            yield from alone.attention(name)
    for n in N_ROWS:
        yield from alone.rows(n)


def _operations(product: tuple[int, int, int]) -> float:
    k, m, n = product
    return 2.0 * k * m * n


class _Alone:
    """Measures kernels of a device."""

    def __init__(self, device: Device, limits: Limits | None) -> None:
        self.device, self.limits = device, limits
        self.pool, self.context = device.pool(1), device.context()

    def product(self, kind: TensorType, k: int, m: int, n: int) -> list[KernelTime]:
        context = self.device.context()  # gives the memory back behind each
        few = Context().tensor(_normal(_DIFFERENT, k), type=kind, packed=False)
        weights = context.new_tensor(kind, (k, m), use="weights")
        assert weights.buffer is not None
        weights.buffer.write(weights, np.tile(few.bytes(), m // _DIFFERENT))
        y = ops.mul_mat(weights, context.tensor(_normal(n, k), use="rows"))
        peak = "int8" if kind.block > 1 else "f32"
        return self._measured(f"mul_mat_{kind.name}", kind.name, f"{k} x {m} . {k} x {n}", y, peak)

    def attention(self, kind: str) -> list[KernelTime]:
        """Of one query over N_KV positions."""
        k, v = (self.context.tensor(_normal(N_HEADS, N_KV, D_HEAD), type=kind, use=use) for use in ("keys", "values"))
        q = self.context.tensor(_normal(N_HEADS, 1, D_HEAD), use="rows")
        tokens = self.context.tensor(np.array([[0, 0, N_KV]], np.int32))
        pages = self.context.tensor(np.arange(N_KV // ops.PAGE, dtype=np.int32)[None])
        y = ops.paged_attention(q, k, v, tokens, pages, scale=D_HEAD**-0.5)
        shape = f"{D_HEAD} x {N_KV}, {N_HEADS} heads, 1 query"
        return self._measured(f"paged_attention_{kind}", kind, shape, y)

    def rows(self, n: int) -> Iterator[KernelTime]:
        most = max(N_ROWS)
        a, b, table = (self.context.tensor(_normal(rows, ROW), use="rows") for rows in (n, n, most))
        cache = self.context.new_tensor("f16", (ROW, most), use="values")
        which = self.context.tensor(np.random.default_rng(0).permutation(most)[:n].astype(np.int32))
        results: Iterable[Tensor] = (
            ops.norm(a), ops.rms_norm(a), ops.soft_max(a), ops.add(a, b), ops.gelu(a), ops.get_rows(table, which),
            ops.set_rows(cache, a, which),
        )  # fmt: skip
        for y in results:
            yield from self._measured(y.op, y.type.name, f"{ROW} x {n}", y)

    def _measured(self, kernel: str, kind: str, shape: str, y: Tensor, peak: str = "f32") -> list[KernelTime]:
        """One, or none where another device has to run it."""
        graph = Graph()
        # Outputs lie where the processor sees them, which may be far from the device: so one value of it is asked for.
        graph.build_forward_expand(y if y.view_src is not None else ops.scale(ops.view(y, (1,)), 1.0))
        plan = self.device.compile(graph.dag(), fused=False)
        place = next(i for i, t in enumerate(plan.results) if t is y)
        node = plan.info(self.pool.threads).nodes[place]
        if node.device != self.device.name:
            return []
        recorder = plan.recorder("full", self.pool.threads)
        times: list[int] = []
        end = 0
        while len(times) <= _RUNS or time.perf_counter_ns() < end:
            plan.run(self.pool, None, recorder)
            end = end or time.perf_counter_ns() + int(_SECONDS * 1e9)
            table = recorder.take().table
            mine = table[table[:, _NODE] == place]
            times.append(int(mine[:, _END].max() - mine[:, _START].min()))
        told_by_data = OPS[y.op].told_by_data
        sizes = told_by_data(y) if told_by_data else {}
        flops, traffic = float(node.flops.at(sizes)), float(node.traffic.at(sizes))
        ns = max(float(median(times[1:])), 1.0)  # the first one warms up
        return [judged(KernelTime(plan.isa, kernel, kind, shape, ns, flops, traffic), self.limits, peak)]


def _normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
