"""Each kernel alone, on one thread: every tensor type and instruction set, against what the machine allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.buffer import TileBuffer
from ggtui.core.runtime.cpu.native import ISAS, ROW_KERNELS, check, ffi, lib
from ggtui.core.runtime.memory import aligned_zeros
from ggtui.core.runtime.record import Limits
from ggtui.perf.bounds import read_rate

K, N_ROWS = 1024, 1024  # of the weights
COLUMNS = (1, 32)  # generation, and a prompt
ROW = 1 << 14  # values of a row
D_HEAD, N_KV = 64, 512
UNARY = ("gelu", "silu", "exp")
_SECONDS = 0.02  # of measuring a kernel


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel on one shape. ns: one call, the median of many; flops, traffic: its operations and bytes.

    limit, of_limit   what binds it, memory or compute, and the part of it that is reached; None: not measured
    """

    isa: str
    kernel: str
    type: str
    shape: str
    ns: float
    flops: float
    traffic: float
    limit: str = ""
    of_limit: float | None = None


def kernel_times(isas: Iterable[str], limits: Callable[[str], Limits | None]) -> Iterator[KernelTime]:
    """All kernels of the given instruction sets. `limits` gives those of one thread with an instruction set."""
    for name in isas:
        allowed = limits(name)
        index = ISAS.index(name)
        for kind in TYPES.values():
            if lib.gg_packable(kind.id):
                yield from (_mul_mat(index, kind, n, allowed) for n in COLUMNS)
        yield _attention(index, allowed)
        for row in _rows(index):
            yield judged(row, allowed, "f32")


def judged(row: KernelTime, limits: Limits | None, peak: str) -> KernelTime:
    """The same with what binds it, where limits were measured. `peak`: which of them its operations are held against;
    f32 where that one is not known."""
    rate = read_rate(limits, row.traffic) if limits else None
    if limits is None or not rate:
        return row
    memory, compute = row.traffic / rate, row.flops / (getattr(limits, peak) or limits.f32)
    limit = "memory" if memory >= compute else "compute"
    of_limit = max(memory, compute) * 1e9 / row.ns
    return KernelTime(row.isa, row.kernel, row.type, row.shape, row.ns, row.flops, row.traffic, limit, of_limit)


def _time(call: Callable[[], int]) -> float:
    """Nanoseconds of one call, the median of as many as fit into _SECONDS, at least 5."""
    check(call())  # warms up, and refuses what does not work
    times: list[int] = []
    end = time.perf_counter_ns() + int(_SECONDS * 1e9)
    while len(times) < 5 or time.perf_counter_ns() < end:
        started = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - started)
    return float(median(times))


def _pointer(data: Any) -> Any:
    return ffi.cast("void *", data.__array_interface__["data"][0])


def _floats(n: int) -> Any:
    data = aligned_zeros(4 * n).view(np.float32)
    data[:] = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    return data


def _weights(kind: TensorType) -> Tensor:
    """(K, N_ROWS), packed: a few rows over and over, since quantizing them all takes longer than the measurement."""
    few = Context().tensor(_floats(K * 16).reshape(16, K), "w", kind)
    weights = Context().new_tensor(kind, (K, N_ROWS), "w", packed=True)
    assert isinstance(weights.buffer, TileBuffer)
    weights.buffer.pack(weights, np.tile(few.bytes(), N_ROWS // 16))
    return weights


def _mul_mat(isa: int, kind: TensorType, n: int, limits: Limits | None) -> KernelTime:
    weights = _weights(kind)
    x = _floats(K * n)
    quantized = kind.block > 1
    x_row = TYPES["q8_a"].row_bytes(K) if quantized else 4 * K
    columns = x.view(np.uint8)
    if quantized:
        columns = aligned_zeros(x_row * n)
        for i in range(n):
            args = (_pointer(columns[i * x_row :]), _pointer(x[i * K :]), ffi.NULL, ffi.NULL, 0.0, 0.0)
            check(lib.gg_call_row(isa, ROW_KERNELS["quantize_q8_a"], K, *args))
    y = aligned_zeros(4 * N_ROWS * n).view(np.float32)
    packed, source = _pointer(weights.bytes()), _pointer(columns)
    out = ffi.cast("float *", _pointer(y))

    def call() -> int:
        return int(
            lib.gg_call_mul_mat(
                isa, kind.id, K, N_ROWS, packed, n, source, x_row, out, 4 * N_ROWS, ffi.NULL, 0, ffi.NULL, 0
            )
        )

    traffic = float(weights.n_bytes + x_row * n + y.nbytes)
    row = KernelTime(ISAS[isa], f"mul_mat_{kind.name}", kind.name, f"{K} x {N_ROWS} . {K} x {n}", _time(call),
                     2.0 * K * N_ROWS * n, traffic)  # fmt: skip
    return judged(row, limits, "int8" if quantized else "f32")


def _attention(isa: int, limits: Limits | None) -> KernelTime:
    k, v = (np.zeros(N_KV * D_HEAD, np.float16) for _ in range(2))
    q, out = _floats(D_HEAD), _floats(D_HEAD)
    pointers = (ffi.cast("float *", _pointer(q)), _pointer(k), _pointer(v), ffi.cast("float *", _pointer(out)))
    f16 = TYPES["f16"].id

    def call() -> int:
        p = pointers
        return int(
            lib.gg_call_attention(
                isa, f16, D_HEAD, D_HEAD, N_KV, 1, p[0], 4 * D_HEAD, p[1], p[2], 2 * D_HEAD, 0.125, ffi.NULL, 0, 1.0,
                ffi.NULL, 1, N_KV - 1, p[3], 4 * D_HEAD,
            )
        )  # fmt: skip

    flops, traffic = float((4 * D_HEAD + 8) * N_KV), float(k.nbytes + v.nbytes + 8 * D_HEAD)
    row = KernelTime(ISAS[isa], "attention", "f16", f"{D_HEAD} x {N_KV}, 1 query", _time(call), flops, traffic)
    return judged(row, limits, "f32")


def _rows(isa: int) -> Iterator[KernelTime]:
    """Kernels over a row: name, operations a value, bytes a value read and written."""
    table = [("add", 1, 12), ("mul", 1, 12), ("norm", 7, 8), ("rms_norm", 4, 8), ("soft_max", 12, 8), ("sum", 1, 4)]
    table += [("quantize_q8_a", 3, 5), ("f16_to_f32", 0, 6), ("f32_to_f16", 0, 6)]
    table += [(name, 10, 8) for name in UNARY]
    for name, flops, n_bytes in table:
        a, b, y = (_floats(2 * ROW) for _ in range(3))
        if name == "f16_to_f32":
            a.view(np.float16)[:] = 1.0
        second = ffi.NULL if name in ("norm", "rms_norm", "soft_max") else _pointer(b)
        args = (_pointer(y), _pointer(a), second, ffi.NULL, 1e-5 if "norm" in name else 0.0, 0.0)

        def call(name: str = name, args: tuple[Any, ...] = args) -> int:
            return int(lib.gg_call_row(isa, ROW_KERNELS[name], ROW, *args))

        ns = _time(call)
        yield KernelTime(ISAS[isa], name, "f32", str(ROW), ns, float(flops * ROW), float(n_bytes * ROW))
