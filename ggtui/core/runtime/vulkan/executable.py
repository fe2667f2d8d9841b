"""Graphs made ready for a Vulkan device: a program of C's, and the memory of its intermediates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dag import Dag
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.native import ffi, last_error, lib
from ggtui.core.runtime.cpu.ops import flops, kind, traffic
from ggtui.core.runtime.describe import node_infos
from ggtui.core.runtime.device import ShaderCode, check_node, check_values
from ggtui.core.runtime.record import GraphInfo, Lane
from ggtui.core.runtime.vulkan.buffer import ALIGNMENT, VulkanBuffer
from ggtui.core.runtime.vulkan.kernels import kernel_of
from ggtui.core.runtime.vulkan.lower import Lowered
from ggtui.core.runtime.vulkan.opened import Memory, Opened
from ggtui.core.runtime.vulkan.passes import run_passes
from ggtui.core.runtime.vulkan.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Queue:
    """What runs on the device: its queue, whatever number of threads was asked for."""

    threads: int


class VulkanExecutable:
    """See Executable in runtime/device.py."""

    isa = "vulkan"
    submits = True

    def __init__(self, dag: Dag, opened: Opened, device: str, *, fused: bool) -> None:
        self._opened, self._device = opened, device
        self.dag = run_passes(dag, fused=fused)
        self.values: dict[str, int] = {}
        self._place()
        lowered = Lowered(self.dag, opened, device, self._address)
        self._lowered, self.variables = lowered, lowered.variables
        self._vars = ffi.new("int64_t[]", max(len(self.variables), 1))
        self._recorder: Recorder | None = None  # the last one that was made
        self._running = Lock()
        self.show()

    @property
    def results(self) -> list[Tensor | None]:
        return [node.dst for node in self.dag.nodes]

    def _place(self) -> None:
        """Memory of the intermediates; outputs lie where the processor reads them."""
        self._buffers: dict[Tensor, VulkanBuffer] = {}
        outputs = {t.root for t in self.dag.outputs}
        stay = self.dag.must_stay()
        self._arena = Memory(self._opened, max(self.dag.arena_bytes, 4), "local")
        self.arena_bytes = self.dag.arena_bytes
        for root, at in self.dag.offsets.items():
            if root in outputs:
                memory = Memory(self._opened, -(-max(root.n_bytes_in(1), 1) // ALIGNMENT) * ALIGNMENT, "read back")
                self._buffers[root] = VulkanBuffer(memory, 0, root.n_bytes_in(1), device=self._device)
            else:
                self._buffers[root] = VulkanBuffer(
                    self._arena, at, root.n_bytes_in(1), device=self._device, kept=root in stay
                )

    def _address(self, t: Tensor) -> int:
        buffer = self._buffers.get(t.root, t.root.buffer)
        if not isinstance(buffer, VulkanBuffer):
            raise GgtuiError(f"tensor {t.root.name!r} ({t.root.op}) has no memory on {self._device}")
        return buffer.address + t.view_offs

    def run(
        self,
        pool: Queue,
        values: Mapping[str, int] | None = None,
        recorder: Recorder | None = None,
        *,
        stop_after: int | None = None,
    ) -> bool:
        """As Plan.run."""
        with self._running:
            return self._run(values or {}, recorder, stop_after)

    def _run(self, values: Mapping[str, int], recorder: Recorder | None, stop_after: int | None) -> bool:
        check_values(self.variables, values)
        for i, name in enumerate(self.variables):
            self._vars[i] = values[name]
        self.values.clear()
        self.values.update(values)
        n = -1
        if stop_after is not None:
            check_node(stop_after, len(self.dag.nodes))
            n = stop_after + 1
        times = ffi.NULL if recorder is None else recorder.begin()
        status = lib.gg_vk_program_run(self._lowered.handle, self._vars, n, times)
        if status:
            self._raise(status)
        if recorder is not None:
            recorder.ran()
        return False

    def _raise(self, status: int) -> None:
        said = last_error()
        self._opened.lost |= status == lib.GG_LOST
        if status == lib.GG_FAILED and said.isdecimal():
            node = self.dag.nodes[int(said)]
            raise GgtuiError(f"{node.op} {node.name!r}: an index out of range, or other bad data")
        raise GgtuiError(said)

    def recorder(self, profile: str, threads: int) -> Recorder | None:
        if profile == "off":
            return None
        self._recorder = Recorder(len(self.dag.nodes), light=profile == "light")
        return self._recorder

    def show(self) -> None:
        for root, buffer in self._buffers.items():
            root.place(buffer)
        for t in (*(node.dst for node in self.dag.nodes), *self.dag.outputs):
            t.ran(self.values)

    def stop(self) -> None:
        lib.gg_vk_program_stop(self._lowered.handle)

    def forget_stop(self) -> None:
        lib.gg_vk_program_forget_stop(self._lowered.handle)

    def use_huge_pages(self) -> None: ...
    def give_back(self) -> None: ...

    def scratch_bytes(self, threads: int) -> int:
        return 0

    def info(self, threads: int) -> GraphInfo:
        phases = [self.dag.phase[n] for n in self.dag.nodes]
        nodes = node_infos(self.dag.nodes, phases, kind, flops, traffic, self._device)
        error_ns = self._recorder.error_ns if self._recorder else 0.0
        lanes = (Lane(f"{self._device} queue", self._device, error_ns),)
        return GraphInfo(nodes, self.isa, lanes, self.variables.get("n_tokens", 1))

    def code(self, node: int) -> ShaderCode | None:
        kernel = kernel_of(self.dag.nodes[node])
        return None if kernel is None else self._opened.code(kernel)
