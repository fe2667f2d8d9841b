"""Plans: a graph lowered once, run many times by one C call that releases the GIL."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.base import bytes_of
from ggtui.core.graph.tensor import _NUMPY_TYPES, Dim, Tensor
from ggtui.core.graph.types import type_by_id
from ggtui.core.runtime.cpu.lower import lower
from ggtui.core.runtime.cpu.native import ISAS, check, ffi, isa_index, last_error, lib
from ggtui.core.runtime.memory import HUGE_PAGE, Pages, aligned_zeros
from ggtui.core.runtime.record import WAKE, GraphInfo, NodeInfo, NodeTotal, OriginalInfo, Records, TensorInfo

MAX_THREADS = 512
_LAYER = re.compile(r"blk\.(\d+)\.")


class Pool:
    """Threads that run plans: the caller and n - 1 others, who sleep between runs. Not to be used after a fork."""

    def __init__(self, threads: int) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads {threads}: must be 1 to {MAX_THREADS}")
        pool = lib.gg_pool_new(threads)
        if pool == ffi.NULL:
            raise GgtuiError(last_error())
        self.threads = threads
        self.handle = ffi.gc(pool, lib.gg_pool_free)


class TraceBuffer:
    """Room for the records of runs, made beforehand so that recording allocates nothing.

    Runs write one behind the other into a block; when it is full a new one is made, and the old one lives as long as
    someone holds its records.
    """

    _RECORD = np.dtype([("end", "i8"), ("done", "i8")])  # gg_record, field by field
    _RUNS = 64  # of a block

    def __init__(self, threads: int, capacity: int) -> None:
        self.threads = threads
        self._capacity = capacity
        self._counts = ffi.new("int64_t[]", 2 * threads)  # records of each thread, dropped ones of each
        self.c = ffi.new("gg_trace *")
        self.c.capacity = capacity
        self.c.n_records, self.c.n_dropped = self._counts, self._counts + threads
        self._new_block()

    def _new_block(self) -> None:
        self._block: NDArray[Any] = np.empty((self._RUNS, self.threads, self._capacity), self._RECORD)
        self._block.view(np.uint8).fill(0)  # touches its pages now and not in a run
        first = ffi.cast("gg_record *", self._block.__array_interface__["data"][0])
        size = self.threads * self._capacity
        self._places = iter([(block, first + i * size) for i, block in enumerate(self._block)])
        self._next_place()

    def _next_place(self) -> None:
        place = next(self._places, None)
        if place is None:
            self._new_block()
        else:
            self._records, self.c.records = place

    def take(self) -> tuple[NDArray[Any], list[int], int]:
        """Of the last run the records, (threads, capacity), how many of each thread, and how many were dropped; the
        next run writes to another place. A few hundred nanoseconds: a generation waits for it."""
        taken, counts = self._records, ffi.unpack(self._counts, 2 * self.threads)
        self._next_place()
        return taken, counts[: self.threads], sum(counts[self.threads :])

    @property
    def n_bytes(self) -> int:
        return int(self._block.nbytes)


def stamp_ns(threads: int) -> float:
    """What taking a time stamp costs, in nanoseconds, measured now: of the two stamps where threads meet the one after
    the wait costs more."""
    kinds = (0,) if threads == 1 else (0, 1)
    return sum(float(lib.gg_stamp_ns(fenced)) for fenced in kinds) / len(kinds)


class TotalsBuffer:
    """Sums over the records of all runs, kept by C: what a light profile has in place of records."""

    _TOTAL = np.dtype(
        [("count", "i8"), ("work", "i8"), ("least", "i8"), ("most", "i8"), ("wait", "i8"), ("squared", "f8")]
    )  # gg_total, field by field

    def __init__(self, threads: int, n_steps: int) -> None:
        self.threads = threads
        self.totals: NDArray[Any] = np.zeros((threads, n_steps + 1), self._TOTAL)
        self.c = ffi.new("gg_trace *")
        self.c.totals = ffi.cast("gg_total *", self.totals.__array_interface__["data"][0])

    def clear(self) -> None:
        self.totals[:] = 0

    @property
    def n_bytes(self) -> int:
        return int(self.totals.nbytes)


@dataclass
class CustomCall:
    """A map_custom node as its step's `user` handle: called back from any thread, under the GIL."""

    function: Callable[..., None]
    n_src: int
    n_dims: tuple[int, ...]  # of the result and each source
    error: BaseException | None = None

    def __call__(self, step: Any, ith: int, nth: int) -> int:
        try:
            tensors = [step.dst, *[step.src[i] for i in range(self.n_src)]]
            arrays = [_array(t, n) for t, n in zip(tensors, self.n_dims, strict=True)]
            self.function(*arrays, ith=ith, nth=nth)
        except BaseException as error:  # whatever it is, it must come out of the run and not of C
            self.error = error
            return 1
        return 0


def _array(t: Any, n_dims: int) -> NDArray[Any]:
    kind = type_by_id(t.type)
    assert kind is not None
    ne, nb = list(t.ne)[:n_dims], list(t.nb)[:n_dims]
    n_bytes = sum((n - 1) * b for n, b in zip(ne, nb, strict=True)) + kind.bytes if prod(ne) else 0
    data = np.frombuffer(ffi.buffer(ffi.cast("char *", t.data), n_bytes), np.uint8)
    return np.ndarray(tuple(reversed(ne)), _NUMPY_TYPES[kind.name], data, strides=tuple(reversed(nb)))


@ffi.def_extern()  # type: ignore[untyped-decorator]
def gg_py_map_custom(step: Any, ith: int, nth: int) -> int:
    step = ffi.cast("gg_step *", step)
    call: CustomCall = ffi.from_handle(step.user)
    return call(step, ith, nth)


lib.gg_set_map_custom(lib.gg_py_map_custom)


class Plan:
    """A graph ready to run: C's steps, and the memory of its intermediates.

    `values` holds the run-time sizes of the last run. The tensors of the graph get their memory here; a tensor of two
    plans shows the one made last, or that show() was called on last.
    """

    def __init__(self, dag: Dag, isa: str | None = None) -> None:
        self.dag = dag
        self.isa = isa_index(isa)
        self.values: dict[str, int] = {}
        self._pages = Pages(dag.arena_bytes, huge=False) if dag.arena_bytes >= HUGE_PAGE else None
        self.arena = self._pages.data if self._pages else aligned_zeros(max(dag.arena_bytes, 1))
        self._calls = {n.dst: _custom_call(n) for n in dag.nodes if n.op == "map_custom"}
        handles = {t: ffi.new_handle(call) for t, call in self._calls.items()}
        lowered = lower(dag, self.arena.__array_interface__["data"][0], handles)
        self._keep = (handles, lowered.array)
        self.variables, self.parts, self.n_steps = lowered.variables, lowered.parts, len(lowered.steps)
        self.own_bytes = lowered.own_bytes
        parts_of_steps = [(step.node, step.number) for step in lowered.steps]
        self._step_parts = np.array([*parts_of_steps, (WAKE, 0)], np.int64)  # step -1 is waking up
        self._vars = ffi.new("int64_t[]", max(len(self.variables), 1))
        plan = lib.gg_plan_new(
            lowered.array, self.n_steps, lowered.patches, len(lowered.patches), lowered.own_bytes, self.isa
        )
        if plan == ffi.NULL:
            raise GgtuiError(last_error())
        self.handle = ffi.gc(plan, lib.gg_plan_free)
        self.show()

    def show(self) -> None:
        """Make the tensors of the graph show what lies in this plan's memory."""
        stay = self.dag.must_stay()
        for node in self.dag.nodes:
            root = node.dst.root
            if root in self.dag.offsets:
                at = self.dag.offsets[root]
                root.buffer, root.kept = self.arena[at : at + root.n_bytes], root in stay
            node.dst.plan = self
        for t in self.dag.outputs:
            t.plan = self

    def run(
        self,
        pool: Pool,
        values: Mapping[str, int] | None = None,
        trace: TraceBuffer | TotalsBuffer | None = None,
    ) -> None:
        """Run all nodes. `values` gives each run-time size; every one must be given.

        Raises what a map_custom function raised, UsageError for values that are missing or out of range, and GgtuiError
        for a stop or for bad data such as a row index out of range.
        """
        values = values or {}
        for i, (name, largest) in enumerate(self.variables.items()):
            if name not in values:
                raise UsageError(f"run: no value for {name}")
            if not 0 <= values[name] <= largest:
                raise UsageError(f"run: {name} is {values[name]}; must be 0 to {largest}")
            self._vars[i] = values[name]
        if trace is not None and trace.threads != pool.threads:
            raise UsageError(f"run: a trace buffer for {trace.threads} threads, but a pool of {pool.threads}")
        self.values = dict(values)
        status = lib.gg_plan_run(self.handle, pool.handle, self._vars, trace.c if trace else ffi.NULL)
        if status == lib.GG_CUSTOM:
            errors = [call.error for call in self._calls.values() if call.error is not None]
            for call in self._calls.values():
                call.error = None
            if errors:
                raise errors[0]
        check(status)

    def use_huge_pages(self) -> None:
        """To be called before the first run that uses much of the memory: until then what no run has touched takes
        none. Results of runs before are lost."""
        if self._pages is not None:
            self._pages.use_huge()

    def give_back(self) -> None:
        """Let go of the results of the last run: the system has their memory until the next."""
        if self._pages is not None:
            self._pages.give_back()

    def scratch_bytes(self, threads: int) -> int:
        """Bytes of temporaries that so many threads need."""
        return int(lib.gg_plan_scratch(self.handle)) * threads

    def stop(self) -> None:
        """End the run under way, or else the next one, at its next node; from any thread."""
        lib.gg_plan_stop(self.handle)

    def forget_stop(self) -> None:
        """Take back a stop that came too late. Only while no run is under way."""
        lib.gg_plan_forget_stop(self.handle)

    def info(self, threads: int) -> GraphInfo:
        """What this plan runs, for a trace; costs at the sizes of the last run."""
        flops, traffic = self.costs(self.values)
        makers = {node.dst.root: i for i, node in enumerate(self.dag.nodes)}
        seen: Counter[str] = Counter()
        nodes = []
        for i, node in enumerate(self.dag.nodes):
            seen[node.name] += 1
            key = node.name if seen[node.name] == 1 else f"{node.name}#{seen[node.name]}"
            nodes.append(self._node_info(i, node, key, makers, flops[i], traffic[i]))
        return GraphInfo(tuple(nodes), ISAS[self.isa], threads, self.variables.get("n_tokens", 1))

    def _node_info(self, i: int, node: Node, key: str, makers: dict[Tensor, int], flops: int, traffic: int) -> NodeInfo:
        sources = [s for s in node.src if s is not None]
        originals = node.originals
        inner = {t.root for t in originals}
        read = {s.root: s for t in originals for s in t.src if s is not None and s.root not in inner}
        stored = [s for s in sources if s.root.op == "none"]
        layer = _LAYER.match(node.name)
        return NodeInfo(
            id=i,
            name=node.name,
            op=node.op,
            result=_info(node.dst),
            src=tuple(dict.fromkeys(makers[s.root] for s in sources if s.root in makers and makers[s.root] < i)),
            inputs=tuple(_info(s) for root, s in read.items() if root.op == "none"),
            originals=tuple(OriginalInfo(t.name, t.op, _info(t)) for t in originals),
            parts=self.parts[i],
            phase=node.phase,
            flops=flops,
            traffic=traffic,
            key=key,
            layer=int(layer[1]) if layer else None,
            type=max(stored or sources, key=lambda s: bytes_of(s, _largest), default=node.dst).type.name,
        )

    def costs(self, values: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Operations, and bytes read and written, of each node in a run with these sizes."""

        def sizes(t: Tensor) -> tuple[int, ...]:
            return tuple(values.get(n.name, int(n)) if isinstance(n, Dim) else n for n in t.ne)

        flops, traffic = [], []
        for node in self.dag.nodes:
            originals = node.originals
            saved = sum(2 * bytes_of(t, sizes) for t in originals[:-1])  # neither written nor read again
            flops.append(sum(OPS[t.op].flops(t, sizes) for t in originals))
            traffic.append(max(sum(OPS[t.op].traffic(t, sizes) for t in originals) - saved, 0))
        return tuple(flops), tuple(traffic)

    def take_records(self, trace: TraceBuffer) -> tuple[Records, int]:
        """The records of the last run in nanoseconds since the caller woke the pool, and how many did not fit."""
        taken, counts, dropped = trace.take()
        return Records(partial(self._record_table, taken, counts)), dropped

    def _record_table(self, records: NDArray[Any], counts: list[int]) -> NDArray[np.int64]:
        """Made when it is looked at: a run must not wait for it."""
        n = sum(counts)
        made = np.zeros((n, 6), np.int64)
        origin, scale, at = records["end"][0, 0] if n else 0, lib.gg_tick_ns(), 0
        for thread, count in enumerate(counts):
            if count == 0:
                continue
            mine, rows = records[thread, :count], made[at : at + count]
            end, done = (np.rint((mine[key] - origin) * scale) for key in ("end", "done"))
            rows[:, :2] = self._step_parts[np.arange(-1, count - 1)]
            rows[:, 2] = thread
            rows[1:, 3], rows[1:, 4], rows[:, 5] = done[:-1], end[1:], done
            rows[0, 4] = done[0]  # waking up begins when it was asked for, the origin, and is work alone
            at += count
        return made

    def node_totals(self, buffer: TotalsBuffer, graph: int) -> list[NodeTotal]:
        """What the buffer has added up, in nanoseconds; `graph` is the number of this plan's graph in the trace."""
        scale = lib.gg_tick_ns()
        found = []
        for thread, rows in enumerate(buffer.totals):
            for row, (node, part) in zip(rows, np.roll(self._step_parts, 1, axis=0).tolist(), strict=True):
                count, *times = (int(row[key]) for key in ("count", "work", "least", "most", "wait"))
                if count:
                    work, least, most, wait = (round(t * scale) for t in times)
                    squared = float(row["squared"]) * scale * scale
                    found.append(NodeTotal(graph, node, part, thread, count, work, least, most, wait, squared))
        return found


def _custom_call(node: Node) -> CustomCall:
    sources = [s for s in node.src if s is not None]
    return CustomCall(node.dst.function, len(sources), (node.dst.n_dims, *[s.n_dims for s in sources]))


def _largest(t: Tensor) -> tuple[int, ...]:
    return t.ne


def _info(t: Tensor) -> TensorInfo:
    return TensorInfo(t.name, t.type.name, tuple(int(n) for n in t.ne))
