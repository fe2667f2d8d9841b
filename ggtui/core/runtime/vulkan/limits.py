"""What a Vulkan device allows, by the loops of shaders/limits.comp: its memory, its arithmetic, what a launch costs.

The loops are timed by the queue's own stamps. A launch is a dispatch that does nothing, in a row of many behind
barriers, and has none: stamps would cost more than it does. So two rows of different lengths are held against each
other by the processor's clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cpu.native import check, ffi, last_error, lib
from ggtui.core.runtime.record import Limits
from ggtui.core.runtime.vulkan.kernels.base import Kernel
from ggtui.core.runtime.vulkan.opened import Memory, Opened

NOTHING, READ, F32, F16, FILL = range(5)  # modes of the shader

READ_SIZES = tuple((1 << 20) << shift for shift in range(0, 11, 2))
MOST_READ = 1 << 30  # bytes, and at most a quarter of the device's memory
MOST_READ_BY_CPU = 1 << 26  # of a driver that computes on the processor, whose memory is slow
# Threads of a group, and of all: as many as large devices have at once, who are not busy with fewer. Where the
# processor computes, those of a group go through their memory one after the other, so it has few.
_GROUP, _THREADS = 256, 1 << 18
_GROUP_OF_CPU, _THREADS_OF_CPU = 8, 1 << 14
_VECTOR, _LOADS = 16, 4  # bytes of a load, and loads of a thread in a turn
_FLOPS = 256  # of a thread in a turn
_LEAST_READ = _GROUP * _VECTOR  # and all are multiples of it
_LEAST_NS, _MOST_TURNS = 2_000_000, 1 << 24  # a loop takes so long that its start and end don't count
_ROUNDS, _LAUNCH_ROUNDS = 3, 10  # the best one counts
_LAUNCHES = 200


class _Row:
    """Dispatches of a mode of the shader, one behind the other, with the memory that they read."""

    def __init__(self, opened: Opened, mode: int, memory: Memory, n_bytes: int = _LEAST_READ, n: int = 1) -> None:
        group, threads = (_GROUP_OF_CPU, _THREADS_OF_CPU) if opened.info.kind == "cpu" else (_GROUP, _THREADS)
        vectors = n_bytes // _LEAST_READ * _GROUP
        self.threads = {NOTHING: group, READ: min(threads, vectors)}.get(mode, threads)
        kernel = Kernel("limits", constants=(mode,), group=group, per=(group, 1, 1))
        self._memory = memory  # lives as long
        self._pipelines = ffi.new("gg_vk_pipeline *[]", [opened.pipeline(kernel)])
        steps, dispatches = ffi.new("gg_vk_step[]", n), ffi.new("gg_vk_dispatch[]", n)
        for i in range(n):
            steps[i].dst.ne = (self.threads, 1, 1, 1)
            steps[i].src[0].data, steps[i].src[0].ne = memory.address, (vectors, 1, 1, 1)
            steps[i].params[1].f, steps[i].params[2].f = 0.5, 1.0  # where a = a * 0.5 + 1 ends is 2
            dispatches[i].barrier, dispatches[i].covers = 1, kernel.covers
            dispatches[i].dims, dispatches[i].per = kernel.dims, kernel.per
        patches = ffi.new("gg_patch[]", [(0, 0, lib.GG_PATCH_PARAM, 0, 0, 0)])
        made = lib.gg_vk_program_new(opened.handle, steps, dispatches, n, self._pipelines, patches, len(patches))
        if made == ffi.NULL:
            raise GgtuiError(f"vulkan: {last_error()}")
        self._program = ffi.gc(made, lib.gg_vk_program_free)
        self._times = ffi.new("gg_vk_times *")
        self._stamps = ffi.new("int64_t[]", n + 1)
        self._times.stamps = self._stamps

    def stamped(self, turns: int) -> int:
        """Nanoseconds by the queue's stamps; by the processor's clock where it has none."""
        times = self._times
        check(lib.gg_vk_program_run(self._program, ffi.new("int64_t *", turns), -1, times))
        return max(int(times.stamps[times.n - 1] - times.stamps[0] if times.n > 1 else times.done - times.asked), 1)

    def plain(self) -> int:
        """Nanoseconds on the processor, without stamps."""
        began = time.perf_counter_ns()
        check(lib.gg_vk_program_run(self._program, ffi.new("int64_t *"), -1, ffi.NULL))
        return time.perf_counter_ns() - began

    def per_turn(self, least: int = 1) -> float:
        """Nanoseconds of a turn, of the best round: of so many at least, and as many as take long enough."""
        turns = least
        while (ns := self.stamped(turns)) < _LEAST_NS and turns < _MOST_TURNS:
            turns *= min(max(2, -(-_LEAST_NS // ns)), 16)
        return min(self.stamped(turns) for _ in range(_ROUNDS)) / turns


def probe(opened: Opened, device: str, isa: str, sizes: Sequence[int]) -> Limits:
    """One probe of all limits, reading READ_SIZES and `sizes` bytes as far as they fit. Takes some tenths of a second.
    Raises GgtuiError where it can't be measured."""
    memory = _memory(opened)
    fitting = sorted(size for size in {*READ_SIZES, *sizes} if _LEAST_READ <= size <= memory.n_bytes)
    _Row(opened, FILL, memory, memory.n_bytes).stamped(0)
    launch, submit = _launch(opened, memory)
    return Limits(
        isa=isa,
        threads=1,
        read=tuple((size, _read(opened, memory, size)) for size in fitting),
        int8=0.0,
        f32=_arithmetic(opened, memory, F32),
        barrier_ns=launch,
        device=device,
        f16=_arithmetic(opened, memory, F16) if opened.info.f16 else 0.0,
        submit_ns=submit,
    )


def _memory(opened: Opened) -> Memory:
    """As much as is to be read, or what the device has left."""
    info = opened.info
    n_bytes = min(info.heap // 4, info.max_allocation, MOST_READ_BY_CPU if info.kind == "cpu" else MOST_READ)
    n_bytes = max(n_bytes // _LEAST_READ, 1) * _LEAST_READ
    while True:
        try:
            return Memory(opened, n_bytes, "local")
        except GgtuiError:
            if n_bytes <= READ_SIZES[0]:
                raise
            n_bytes //= 2


def _read(opened: Opened, memory: Memory, n_bytes: int) -> float:
    """Bytes a second, of all of them once at least."""
    row = _Row(opened, READ, memory, n_bytes)
    turn = row.threads * _LOADS * _VECTOR
    return turn * 1e9 / row.per_turn(-(-n_bytes // turn))


def _arithmetic(opened: Opened, memory: Memory, mode: int) -> float:
    """Operations a second."""
    row = _Row(opened, mode, memory)
    return row.threads * _FLOPS * 1e9 / row.per_turn()


def _launch(opened: Opened, memory: Memory) -> tuple[float, float]:
    """Nanoseconds of a dispatch behind a barrier, and of the submit of one and the wait for it."""
    one, many = (_Row(opened, NOTHING, memory, n=n) for n in (1, 1 + _LAUNCHES))
    few = min(one.plain() for _ in range(_LAUNCH_ROUNDS))
    row = min(many.plain() for _ in range(_LAUNCH_ROUNDS))
    return max((row - few) / _LAUNCHES, 1.0), float(few)
