"""Plans: a graph lowered once, run many times by one C call that releases the GIL."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import NUMPY_TYPES, Bytes, Tensor
from ggtui.core.runtime.cpu.buffer import RowBuffer, numbers
from ggtui.core.runtime.cpu.codec import tell_own_types
from ggtui.core.runtime.cpu.lower import lower
from ggtui.core.runtime.cpu.native import ISAS, ffi, isa_index, last_error, lib
from ggtui.core.runtime.cpu.ops import flops, kind, traffic
from ggtui.core.runtime.cpu.passes import run_passes
from ggtui.core.runtime.cpu.pool import Pool
from ggtui.core.runtime.cpu.recorder import RecordBuffer, TotalBuffer
from ggtui.core.runtime.describe import node_infos
from ggtui.core.runtime.device import check_node, check_values
from ggtui.core.runtime.memory import HUGE_PAGE, Pages, aligned_zeros
from ggtui.core.runtime.record import GraphInfo, thread_lanes


@dataclass
class CustomCall:
    """A map_custom node, called back from any thread, under the GIL.

    memory  of the result and each source: arrays hold on to it, so that one which a function keeps stays readable
    """

    function: Callable[..., None]
    tensors: tuple[Tensor, ...]
    memory: tuple[Bytes, ...]

    def __call__(self, step: Any, ith: int, nth: int) -> None:
        sizes = [step.dst.ne, *(step.src[i].ne for i in range(len(self.tensors) - 1))]
        result, *sources = (self._array(i, ne) for i, ne in enumerate(sizes))
        for source in sources:
            source.flags.writeable = False
        self.function(result, *sources, ith=ith, nth=nth)

    def _array(self, i: int, ne: Any) -> NDArray[Any]:
        t = self.tensors[i]
        shape = tuple(reversed(list(ne)[: t.n_dims]))
        return numbers(self.memory[i], NUMPY_TYPES[t.type.name], shape, t.nb[: t.n_dims])


@dataclass
class _Callbacks:
    """What C is handed for functions of Python's: the calls by their node, and what was raised in them."""

    calls: dict[int, CustomCall] = field(default_factory=dict)
    raised: list[BaseException] = field(default_factory=list)

    def append(self, error: BaseException) -> None:
        self.raised.append(error)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def gg_py_map_custom(user: Any, step: Any, ith: int, nth: int) -> int:
    callbacks: _Callbacks = ffi.from_handle(user)
    step = ffi.cast("gg_step *", step)
    process = os.getpid()
    try:
        callbacks.calls[step.node](step, ith, nth)
    except BaseException as error:  # whatever it is, it must come out of the run and not of C
        callbacks.append(error)
        return 1
    finally:
        if os.getpid() != process:
            _leave()
    return 0


def _leave() -> NoReturn:
    """In a child that a function made with fork(): the other threads of its run are not there to be waited for."""
    sys.stderr.write(
        "ggtui: a child that fork() made inside a run can't go on with it; end it with os._exit in the function\n"
    )
    sys.stderr.flush()
    os._exit(1)


lib.gg_set_map_custom(lib.gg_py_map_custom)
_TOLD = int(lib.GG_TOLD)


class Plan:
    """A graph ready to run: C's steps, and the memory of its intermediates.

    `values` holds the run-time sizes of the last run. The tensors of the graph get their memory here; a tensor of two
    plans shows the one made last, or that show() was called on last.
    """

    submits = False

    def __init__(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> None:
        self.dag = run_passes(dag, fused=fused)
        self._isa = isa_index(isa)
        self.values: dict[str, int] = {}
        self.arena_bytes = self.dag.arena_bytes
        self._pages = Pages(self.arena_bytes, huge=False) if self.arena_bytes >= HUGE_PAGE else None
        self.arena = self._pages.data if self._pages else aligned_zeros(max(self.arena_bytes, 1))
        self._callbacks = _Callbacks()
        self._handle = ffi.new_handle(self._callbacks)
        tell_own_types()
        lowered = lower(self.dag, self.arena.__array_interface__["data"][0])
        for i, node in enumerate(self.dag.nodes):
            if node.dst.function is not None:
                self._callbacks.calls[i] = self._custom_call(node)
        self.variables, self.n_steps = lowered.variables, len(lowered.steps)
        self._vars = ffi.new("int64_t[]", max(len(self.variables), 1))
        plan = lib.gg_plan_new(
            lowered.array, self.n_steps, lowered.patches, len(lowered.patches), self.dag.own_bytes, self._isa,
            self._handle,
        )  # fmt: skip
        if plan == ffi.NULL:
            raise GgtuiError(last_error())
        self.handle = ffi.gc(plan, lib.gg_plan_free)
        self.show()

    @property
    def isa(self) -> str:
        """The instruction set it runs with."""
        return ISAS[self._isa]

    @property
    def results(self) -> list[Tensor | None]:
        return [node.dst for node in self.dag.nodes]

    def _custom_call(self, node: Node) -> CustomCall:
        tensors = (node.dst, *(s for s in node.src if s is not None))
        return CustomCall(node.dst.function, tensors, tuple(self._memory(t) for t in tensors))

    def _memory(self, t: Tensor) -> Bytes:
        """Where a tensor lies for this plan."""
        root = t.root
        if root in self.dag.offsets:
            at = self.dag.offsets[root] + t.view_offs
            return self.arena[at : at + t.n_bytes]
        return t.bytes()

    def show(self) -> None:
        """Make the tensors of the graph show what lies in this plan's memory."""
        stay = self.dag.must_stay()
        for root, at in self.dag.offsets.items():
            root.place(RowBuffer(self.arena[at : at + root.n_bytes], kept=root in stay))
        for t in (*(node.dst for node in self.dag.nodes), *self.dag.outputs):
            t.ran(self.values)

    def run(
        self,
        pool: Pool,
        values: Mapping[str, int] | None = None,
        recorder: RecordBuffer | TotalBuffer | None = None,
        *,
        stop_after: int | None = None,
    ) -> bool:
        """Run all nodes, or those up to the one numbered `stop_after` of `info`: what tensors that are kept have by
        then can be looked at. `values` gives each run-time size; every one must be given. Returns whether the recorder
        was told() anything.

        Raises what a map_custom function raised, UsageError for values that are missing or out of range, and GgtuiError
        for a stop or for bad data such as a row index out of range.
        """
        values = values or {}
        check_values(self.variables, values)
        for i, name in enumerate(self.variables):
            self._vars[i] = values[name]
        self.values.clear()
        self.values.update(values)
        # Runs are about equally long where all is equal but the tokens seen so far, one more each time: `n_kv`, as
        # graphs made by hand call it.
        size, n_steps = hash(tuple(n for name, n in values.items() if name != "n_kv")), -1
        if stop_after is not None:
            check_node(stop_after, self.n_steps)
            size, n_steps = hash((size, stop_after)), stop_after + 1
        trace = recorder.c if recorder is not None else ffi.NULL
        status = lib.gg_plan_run(self.handle, pool.handle, self._vars, size, n_steps, trace)
        if status:
            if status == _TOLD:
                return True
            self._raise(status, pool, recorder)
        return False

    def _raise(self, status: int, pool: Pool, recorder: RecordBuffer | TotalBuffer | None) -> NoReturn:
        if recorder is not None and recorder.threads != pool.threads:
            raise UsageError(f"run: a buffer for records of {recorder.threads} threads, but a pool of {pool.threads}")
        if status == lib.GG_CUSTOM:
            raised = self._callbacks.raised[0]
            self._callbacks.raised.clear()
            raise raised
        raise GgtuiError(last_error())

    def recorder(self, profile: str, threads: int) -> RecordBuffer | TotalBuffer | None:
        """What runs of so many threads are recorded into: "full", "light" or "off", see RunInfo."""
        kinds = {"full": RecordBuffer, "light": TotalBuffer}
        return kinds[profile](threads, self.n_steps) if profile in kinds else None

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
        return int(lib.gg_plan_scratch(self.handle)) * threads + int(lib.gg_plan_shared(self.handle))

    def stop(self) -> None:
        """End the run under way, or else the next one, at its next node; from any thread."""
        lib.gg_plan_stop(self.handle)

    def forget_stop(self) -> None:
        """Take back a stop that came too late. Only while no run is under way."""
        lib.gg_plan_forget_stop(self.handle)

    def info(self, threads: int) -> GraphInfo:
        """What this plan runs, for a trace."""
        nodes = node_infos(self.dag.nodes, [self.dag.phase[n] for n in self.dag.nodes], kind, flops, traffic, "cpu")
        return GraphInfo(nodes, self.isa, thread_lanes(threads), self.variables.get("n_tokens", 1))

    def code(self, node: int) -> None:
        """Functions of this process run it."""
