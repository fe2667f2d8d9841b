"""The reference device: whole graphs in numpy, a node at a time. Slow, and right: others are held against it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.graph.dag import Dag
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Bytes, Tensor
from ggtui.core.runtime.complete import Complete
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.buffer import RowBuffer
from ggtui.core.runtime.describe import node_infos
from ggtui.core.runtime.device import check_node, check_values
from ggtui.core.runtime.record import COLUMNS, WAKE, GraphInfo, Lane, Limits, NodeTotal, Records, Unscheduled
from ggtui.core.runtime.reference.walk import Walk


@dataclass(frozen=True, slots=True)
class Alone:
    """The one thread that it runs on, the caller's, whatever number was asked for."""

    threads: int = 1


class Recorder:
    """The records of runs: of the last one, and the sums over all."""

    threads = 1

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int]] = []  # node, start and end, nanoseconds since the run was asked for
        self.clear()

    def begin(self) -> None:
        self._rows = [(WAKE, 0, 0)]

    def add(self, node: int, start: int, end: int) -> None:
        self._rows.append((node, start, end))
        self._works.setdefault(node, []).append(end - start)

    def clear(self) -> None:
        self._works: dict[int, list[int]] = {}

    def told(self) -> tuple[tuple[Unscheduled, ...], int]:
        """Nothing: the system is not asked, and there is room for all."""
        return (), 0

    def take(self) -> Records:
        """The records of the last run."""
        table = [(node, 0, 0, start, end, end) for node, start, end in self._rows]
        return Records(np.array(table, np.int64).reshape(-1, len(COLUMNS)))

    def node_totals(self, graph: int) -> list[NodeTotal]:
        """What was added up since `clear`."""
        return [
            NodeTotal(graph, node, 0, 0, len(w), sum(w), min(w), max(w), 0, float(sum(ns * ns for ns in w)))
            for node, w in self._works.items()
        ]

    @property
    def n_bytes(self) -> int:
        return 3 * 8 * len(self._rows)


class Reference:
    """A graph to be computed in numpy: see Executable in runtime/device.py."""

    isa = "numpy"
    submits = False

    def __init__(self, dag: Dag) -> None:
        self.dag = dag
        self.values: dict[str, int] = {}
        self.variables = _variables(dag)
        self._stop = False
        self._buffers: dict[Tensor, RowBuffer] = {}
        for node in dag.nodes:
            root = node.dst.root
            if dag.makes(root) and root not in self._buffers:
                self._buffers[root] = RowBuffer(np.zeros(root.n_bytes_in(1), np.uint8), device="reference")
            for s in node.src:
                if s is not None and s.root.op == "none" and s.root.buffer is None:
                    raise GgtuiError(f"tensor {s.root.name!r} has no memory and no node of the graph makes it")
        self.arena_bytes = sum(buffer.n_bytes for buffer in self._buffers.values())
        self.show()

    @property
    def results(self) -> list[Tensor | None]:
        return [node.dst for node in self.dag.nodes]

    def show(self) -> None:
        for root, buffer in self._buffers.items():
            root.place(buffer)
        for t in (*(node.dst for node in self.dag.nodes), *self.dag.outputs):
            t.ran(self.values)

    def run(
        self,
        pool: Any,
        values: Mapping[str, int] | None = None,
        recorder: Recorder | None = None,
        *,
        stop_after: int | None = None,
    ) -> bool:
        """Compute all nodes, or those up to the one numbered `stop_after`, in the caller's thread. Raises as Plan.run
        does."""
        values = values or {}
        check_values(self.variables, values)
        self.values.clear()
        self.values.update(values)
        walk, asked = Walk(values, self._memory), time.perf_counter_ns()
        if recorder is not None:
            recorder.begin()
        start = 0
        nodes = self.dag.nodes
        if stop_after is not None:
            check_node(stop_after, len(nodes))
            nodes = nodes[: stop_after + 1]
        for i, node in enumerate(nodes):
            if self._stop:
                self._stop = False
                raise GgtuiError("the run was stopped")
            walk.step(node.dst, node.src)
            end = time.perf_counter_ns() - asked
            if recorder is not None:
                recorder.add(i, start, end)
            start = end
        for root, packed in walk.packed.items():
            if any(node.dst.root is root for node in nodes):
                root.set(packed.reshape(tuple(reversed(root.ne[: root.n_dims]))))
        return False

    def _memory(self, root: Tensor) -> Bytes:
        return self._buffers[root].data if root in self._buffers else root.bytes()

    def recorder(self, profile: str, threads: int) -> Recorder | None:
        return Recorder() if profile != "off" else None

    def stop(self) -> None:
        self._stop = True

    def forget_stop(self) -> None:
        self._stop = False

    def use_huge_pages(self) -> None: ...
    def give_back(self) -> None: ...

    def scratch_bytes(self, threads: int) -> int:
        return 0

    def info(self, threads: int) -> GraphInfo:
        nodes = self.dag.nodes
        infos = node_infos(
            nodes,
            range(len(nodes)),
            lambda node: OPS[node.op].kind,
            lambda node: OPS[node.op].flops(node.dst),
            lambda node: OPS[node.op].traffic(node.dst, node.src),
            ReferenceDevice.name,
        )
        return GraphInfo(infos, self.isa, (Lane("reference", ReferenceDevice.name),), self.variables.get("n_tokens", 1))

    def code(self, node: int) -> None:
        """Python runs it."""


def _variables(dag: Dag) -> dict[str, int]:
    """The run-time sizes, and the largest value of each."""
    largest: dict[str, int] = {}
    for node in dag.nodes:
        sizes = [n for t in (node.dst, *node.src) if t is not None for n in t.ne]
        for n in (*sizes, *node.params):
            if isinstance(n, Dim):
                largest[n.name] = min(int(n), largest.get(n.name, int(n)))
    return largest


class ReferenceContext(Context):
    """Memory like the CPU's, but another device's: what the CPU needs of it is copied. Nothing lies in tiles."""

    device = "reference"
    packs = False


class ReferenceDevice(Complete):
    """See Device in runtime/device.py. Nothing is fused and nothing is packed."""

    name = "reference"

    def context(self) -> Context:
        return ReferenceContext()

    def pool(self, threads: int, *, rest: bool = True) -> Alone:
        if threads < 1:
            raise UsageError(f"threads {threads}: must be at least 1")
        return Alone()

    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Reference:
        if isa is not None:
            raise MissingPartError(f"isa {isa}: the reference device has no instruction sets; leave --isa out")
        return Reference(dag)

    def limits(self, pool: Alone, isa: str | None, sizes: Sequence[int]) -> Limits | None:
        return None

    def limits_key(self, threads: int, isa: str | None) -> str:
        return ""


def device(number: int | None) -> ReferenceDevice:
    """There is one. Raises UsageError for another."""
    if number:
        raise UsageError(f"device reference:{number}: there is one, reference")
    return ReferenceDevice()
