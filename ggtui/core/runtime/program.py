"""Programs: what a graph over several devices becomes: executables, one after the other, and copies between them.

A program is an Executable itself. In its records copies are nodes of the caller's own lane, and each device has lanes
of its own; a lane that has nothing to do waits, so that every lane adds up to the time of the whole run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, MutableSet, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dag import Dag
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.describe import tensor_info, unique_names
from ggtui.core.runtime.device import Device, Executable, ShaderCode, check_node, check_values, one_device
from ggtui.core.runtime.partition import Copy, Partition
from ggtui.core.runtime.record import (
    COLUMNS,
    WAKE,
    GraphInfo,
    Lane,
    NodeInfo,
    NodeTotal,
    OriginalInfo,
    Records,
    TensorInfo,
    Unscheduled,
    thread_lanes,
)

Table = NDArray[np.int64]
HOST = "cpu"  # whose first lane is the caller's


class Pools:
    """The threads of several devices, each made when it is first asked for."""

    def __init__(self, threads: int, rest: bool) -> None:
        self._rest = rest
        self._of: dict[str, Any] = {HOST: one_device(HOST).pool(threads, rest=rest)}
        self.threads = threads

    def of(self, device: Device) -> Any:
        if device.name not in self._of:
            self._of[device.name] = device.pool(self.threads, rest=self._rest)
        return self._of[device.name]

    @property
    def handle(self) -> Any:
        """The CPU's: sampling runs on it."""
        return self._of[HOST].handle


@dataclass(frozen=True, slots=True)
class _Step:
    """A copy, or a part that is compiled. Its nodes are `n` from number `first` on; where it is handed to a queue, the
    first of them is that, and its own begin at `own`."""

    first: int
    n: int
    own: int
    copy: Copy | None = None
    device: Device | None = None
    executable: Executable | None = None


class Program:
    """See Executable in runtime/device.py."""

    submits = False  # what it hands to queues are nodes of its own

    def __init__(self, dag: Dag, cut: Partition, copied: MutableSet[Tensor], *, fused: bool, isa: str | None) -> None:
        """`copied`: the stand-ins of constants that are filled. Others are in the first run, since plans are made while
        weights are still on their way."""
        self.dag, self._cut = dag, cut
        self._constants, self._copied = cut.constants, copied
        self._steps: list[_Step] = []
        self.values: dict[str, int] = {}
        self.variables: dict[str, int] = {}
        at = 0
        for i, part in enumerate(cut.parts):
            for copy in part.copies:
                self._steps.append(_Step(at, 1, at, copy=copy))
                at += 1
            made = part.device.compile(cut.dag(i, dag), fused=fused, isa=isa if part.device.name == HOST else None)
            n = len(made.dag.nodes) + made.submits
            self._steps.append(_Step(at, n, at + made.submits, device=part.device, executable=made))
            at += n
            for name, largest in made.variables.items():
                self.variables[name] = min(largest, self.variables.get(name, largest))
        self.n_nodes = at
        self._executables = [step.executable for step in self._steps if step.executable is not None]
        self.arena_bytes = sum(executable.arena_bytes for executable in self._executables)
        self._stop = threading.Event()
        self._running: Executable | None = None
        # Of each step of the last run when it began and ended, nanoseconds since the run did.
        self.last: list[tuple[int, int]] = []
        self.show()

    @property
    def isa(self) -> str:
        """What its parts run with, in the order in which they first do."""
        return ", ".join(dict.fromkeys(executable.isa for executable in self._executables))

    @property
    def results(self) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for step in self._steps:
            found += [None] * (step.n if step.executable is None else step.own - step.first)
            found += [] if step.executable is None else step.executable.results
        return found

    def run(
        self,
        pool: Pools,
        values: Mapping[str, int] | None = None,
        recorder: Recorder | None = None,
        *,
        stop_after: int | None = None,
    ) -> bool:
        """As Plan.run; raises what the runs of its parts raise."""
        values = values or {}
        check_values(self.variables, values)
        self.values.clear()
        self.values.update(values)
        last = self.n_nodes - 1
        if stop_after is not None:
            check_node(stop_after, self.n_nodes)
            last = stop_after
        try:
            self._copy_constants()
            told = self._run_steps(pool, values, recorder, last)
        except BaseException:
            self._running = None
            self._stop.clear()  # whatever it ended by, a stop was meant for this run
            raise
        if recorder is not None:
            recorder.ran()
        return told

    def _copy_constants(self) -> None:
        for copy in self._constants:
            if copy.target not in self._copied:
                copy.run({})
                self._copied.add(copy.target)
        self._constants = []

    def _run_steps(self, pool: Pools, values: Mapping[str, int], recorder: Recorder | None, last: int) -> bool:
        """Up to the node numbered `last`."""
        asked = began = time.perf_counter_ns()
        self.last.clear()
        told = False
        for i, step in enumerate(self._steps):
            if step.first > last:
                break
            if self._stop.is_set():
                raise GgtuiError("the run was stopped")
            if step.copy is not None:
                step.copy.run(values)
            elif step.executable is not None and step.device is not None:
                self._running = step.executable
                mine = None if recorder is None else recorder.of(i)
                until = None if last >= step.first + step.n - 1 else max(last - step.own, 0)
                told |= step.executable.run(pool.of(step.device), values, mine, stop_after=until)
                self._running = None
            ended = time.perf_counter_ns()
            self.last.append((began - asked, ended - asked))
            began = ended
        return told

    def recorder(self, profile: str, threads: int) -> Recorder | None:
        return None if profile == "off" else Recorder(self, profile, threads)

    @property
    def steps(self) -> Sequence[_Step]:
        return self._steps

    def show(self) -> None:
        for executable in self._executables:
            executable.show()
        for t in (*(node.dst for node in self.dag.nodes), *self.dag.outputs):
            t.ran(self.values)

    def stop(self) -> None:
        self._stop.set()
        running = self._running
        if running is not None:
            running.stop()

    def forget_stop(self) -> None:
        self._stop.clear()
        for executable in self._executables:
            executable.forget_stop()

    def use_huge_pages(self) -> None:
        for executable in self._executables:
            executable.use_huge_pages()

    def give_back(self) -> None:
        for executable in self._executables:
            executable.give_back()

    def scratch_bytes(self, threads: int) -> int:
        return sum(executable.scratch_bytes(threads) for executable in self._executables)

    def info(self, threads: int) -> GraphInfo:
        """All nodes as one graph; a copy is a node that reads what made its source, and is read for its target."""
        nodes: list[NodeInfo] = []
        made: dict[Tensor, int] = {}  # by the root that is made or filled, as the nodes before leave it
        phase = 0
        for step in self._steps:
            if step.copy is not None:
                nodes.append(self._copy_info(step, made, phase))
                made[step.copy.target] = step.first
                phase += 1
                continue
            assert step.executable is not None and step.device is not None
            if step.own > step.first:
                nodes.append(_submit_info(step, step.device.name, phase))
                phase += 1
            told = step.executable.info(threads)
            for node, said in zip(step.executable.dag.nodes, told.nodes, strict=True):
                roots = {s.root for s in node.src if s is not None}
                src = {made[root] for root in roots if root in made}
                stand_ins = {root.name for root in roots if root in made}
                inputs = tuple(t for t in said.inputs if t.name not in stand_ins)
                nodes.append(
                    replace(said, id=len(nodes), src=tuple(sorted(src)), inputs=inputs, phase=said.phase + phase)
                )
                made[node.dst.root] = len(nodes) - 1
            phase = nodes[-1].phase + 1
        keys = unique_names([node.name for node in nodes])
        nodes = [replace(node, key=key) for node, key in zip(nodes, keys, strict=True)]
        return GraphInfo(tuple(nodes), self.isa, self.lanes(threads), self.variables.get("n_tokens", 1))

    def code(self, node: int) -> ShaderCode | None:
        step = next(s for s in self._steps if s.first <= node < s.first + s.n)
        return None if step.executable is None or node < step.own else step.executable.code(node - step.own)

    def lanes(self, threads: int) -> tuple[Lane, ...]:
        """The CPU's first, then those of the other devices."""
        of_devices: dict[str, tuple[Lane, ...]] = {HOST: thread_lanes(1)}
        for executable in self._executables:
            found = executable.info(threads).lanes
            if len(found) >= len(of_devices.get(found[0].device, ())):
                of_devices[found[0].device] = found
        return tuple(lane for lanes in of_devices.values() for lane in lanes)

    def _copy_info(self, step: _Step, made: Mapping[Tensor, int], phase: int) -> NodeInfo:
        assert step.copy is not None and step.copy.target.buffer is not None
        source, device = step.copy.source, step.copy.target.buffer.device
        whole = Cost.product(source.type.row_bytes(source.ne[0]), *source.ne[1:])
        told = tensor_info(source)
        read = (made[source],) if source in made else ()
        return NodeInfo(
            id=step.first, name=f"{step.copy.name}:to {device}", op="copy", result=told, src=read,
            inputs=() if read else (told,), originals=(OriginalInfo(step.copy.name, "copy", told),), parts=("copy",),
            phase=phase, flops=Cost(), traffic=whole.times(2), kinds=("copy",), type=source.type.name, device=HOST,
        )  # fmt: skip


def _submit_info(step: _Step, device: str, phase: int) -> NodeInfo:
    """That the caller hands a part to a queue, and waits for it."""
    name, handed = f"submit:{device}", TensorInfo("", "nodes", (step.first + step.n - step.own,))
    return NodeInfo(
        id=step.first, name=name, op="submit", result=handed, src=(), inputs=(),
        originals=(OriginalInfo(name, "submit", handed),),
        parts=("submit",), phase=phase, flops=Cost(), traffic=Cost(), kinds=("submit",), device=HOST,
    )  # fmt: skip


class Recorder:
    """The records of a program's runs: those of its parts, by one clock."""

    def __init__(self, program: Program, profile: str, threads: int) -> None:
        self.threads = threads
        self._steps, self._last = program.steps, program.last
        self._profile = profile
        self._parts = [s.executable.recorder(profile, threads) if s.executable else None for s in program.steps]
        self._lanes = program.lanes(threads)
        self._own: dict[int, list[int]] = {}  # of copies and submits by their node: what they took

    def of(self, step: int) -> Any:
        return self._parts[step]

    def ran(self) -> None:
        """A run is over: what copies and submits took is added up."""
        if self._profile != "light":
            return
        for step, part, (start, end) in zip(self._steps, self._parts, self._last, strict=False):
            took = end - start if part is None else _submitted(step, part)
            if took is not None:
                self._own.setdefault(step.first, []).append(took)

    def told(self) -> tuple[tuple[Unscheduled, ...], int]:
        said = [part.told() for part in self._parts if part is not None]
        return tuple(u for unscheduled, _ in said for u in unscheduled), sum(dropped for _, dropped in said)

    def take(self) -> Records:
        """The records of the last run."""
        ran = self._steps[: len(self._last)]
        taken = [None if part is None else part.take() for part in self._parts[: len(ran)]]
        submitted = [_submitted(s, part) for s, part in zip(ran, self._parts, strict=False)]
        return Records(partial(_joined, ran, list(self._last), taken, submitted, self._lanes))

    def clear(self) -> None:
        self._own.clear()
        for part in self._parts:
            if part is not None:
                part.clear()

    def node_totals(self, graph: int) -> list[NodeTotal]:
        found = []
        for node, works in self._own.items():
            squared = float(sum(ns * ns for ns in works))
            found.append(NodeTotal(graph, node, 0, 0, len(works), sum(works), min(works), max(works), 0, squared))
        for step, part in zip(self._steps, self._parts, strict=True):
            for t in part.node_totals(graph) if part is not None else ():
                if t.node != WAKE or step.first == 0:
                    node = t.node if t.node == WAKE else t.node + step.own
                    found.append(replace(t, node=node, lane=t.lane + _first_lane(self._lanes, step)))
        return found

    @property
    def n_bytes(self) -> int:
        return sum(part.n_bytes for part in self._parts if part is not None)


def _submitted(step: _Step, part: Any) -> int | None:
    """What it took to hand a part to its queue, nanoseconds; None where there is none, or it was not recorded."""
    taken: int | None = part.submitted if step.own > step.first else None
    return taken


def _first_lane(lanes: Sequence[Lane], step: _Step) -> int:
    assert step.device is not None
    return next(i for i, lane in enumerate(lanes) if lane.device == step.device.name)


def _joined(
    steps: Sequence[_Step],
    times: Sequence[tuple[int, int]],
    taken: Sequence[Records | None],
    submitted: Sequence[int | None],
    lanes: Sequence[Lane],
) -> Table:
    """The records of all steps as those of one run: a lane that has nothing to do waits, and waking up within the run
    is waiting too."""
    node, lane, done = (COLUMNS.index(name) for name in ("node", "lane", "done"))
    start, end = COLUMNS.index("start"), COLUMNS.index("end")
    rows = []
    for step, (began, ended), records, handed in zip(steps, times, taken, submitted, strict=True):
        if records is None or handed is not None:
            worked = ended if handed is None else began + handed
            rows.append(np.array([[step.first, 0, 0, began, worked, ended]], np.int64))
        if records is None:
            continue
        table = records.table.copy()
        table[:, lane] += _first_lane(lanes, step)
        table[:, start:] += began
        waking = table[:, node] == WAKE
        counts = np.bincount(table[:, lane], minlength=len(lanes))
        if len(steps) > 1:  # who rested in this part may have woken up in another one
            table[waking & (counts[table[:, lane]] == 1), end] = 0
        table[~waking, node] += step.own
        rows.append(table if began == 0 else table[~waking])
    whole = np.concatenate(rows)
    last = int(whole[:, done].max(initial=times[-1][1]))
    made = []
    for i in range(len(lanes)):
        mine = whole[whole[:, lane] == i]
        mine = mine[np.lexsort((mine[:, node], mine[:, start]))]
        if not len(mine) or mine[0, node] != WAKE:
            first = int(mine[0, start]) if len(mine) else last
            mine = np.concatenate([np.array([[WAKE, 0, i, 0, 0, first]], np.int64), mine])
        mine[:-1, done] = np.maximum(mine[:-1, end], mine[1:, start])
        mine[-1, done] = last
        made.append(mine)
    return np.concatenate(made)
