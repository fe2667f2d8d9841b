"""Lowers a ScheduledDag to what C's programs take: a step, a dispatch and a pipeline for each node.

Sizes that vary from run to run become patches, as on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ggtui.core.errors import GgtuiError, NoKernelError
from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.native import ffi, last_error, lib
from ggtui.core.runtime.describe import layer_of
from ggtui.core.runtime.passes.scheduled import ScheduledDag
from ggtui.core.runtime.vulkan.buffer import ALIGNMENT, VulkanBuffer
from ggtui.core.runtime.vulkan.kernels import kernel_of
from ggtui.core.runtime.vulkan.kernels.base import Kernel
from ggtui.core.runtime.vulkan.opened import Memory, Opened


class Lowered:
    """A program of C's. `variables`: the run-time sizes, and the largest value of each."""

    def __init__(self, dag: ScheduledDag, opened: Opened, device: str, address: Callable[[Tensor], int]) -> None:
        """`address` says where a tensor lies. Raises GgtuiError for a node that the device has no kernel for, and for
        a shader that its driver refuses."""
        kernels = [_kernel(node, device) for node in dag.nodes]
        self.variables = _variables(dag.nodes)
        self._number = {name: i for i, name in enumerate(self.variables)}
        self._address = address
        self._tables = _upload_tables(kernels, opened, device)
        n = len(dag.nodes)
        steps, dispatches = ffi.new("gg_vk_step[]", max(n, 1)), ffi.new("gg_vk_dispatch[]", max(n, 1))
        pipelines: dict[Any, int] = {}
        patches: list[tuple[int, ...]] = []
        phase = 0
        for i, (node, kernel) in enumerate(zip(dag.nodes, kernels, strict=True)):
            patches += self._fill(i, steps[i], node, kernel)
            dispatch = dispatches[i]
            dispatch.pipeline = pipelines.setdefault(opened.pipeline(kernel), len(pipelines))
            dispatch.covers, dispatch.dims, dispatch.per = kernel.covers, kernel.dims, kernel.per
            dispatch.barrier = dag.phase[node] != phase
            phase = dag.phase[node]
            # Many tokens take long: behind each layer such a run can be stopped.
            following = dag.nodes[min(i + 1, n - 1)]
            dispatch.ends = bool(self.variables) and layer_of(following.name) not in (None, layer_of(node.name))
        self._pipelines = list(pipelines)
        program = lib.gg_vk_program_new(
            opened.handle, steps, dispatches, n, ffi.new("gg_vk_pipeline *[]", [*pipelines, ffi.NULL]),
            ffi.new("gg_patch[]", patches), len(patches),
        )  # fmt: skip
        if program == ffi.NULL:
            raise GgtuiError(f"{device}: {last_error()}")
        self.handle = ffi.gc(program, lib.gg_vk_program_free)

    def _fill(self, i: int, step: Any, node: Node, kernel: Kernel) -> list[tuple[int, ...]]:
        """Step i. Returns the patches of it."""
        patches: list[tuple[int, ...]] = []
        src = (*(node.src if kernel.src is None else kernel.src), *(self._tables[id(t)] for t in kernel.tables))
        for place, t in enumerate((node.dst, *src), start=-1):
            if t is not None:
                c = step.dst if place < 0 else step.src[place]
                c.data, c.ne, c.nb, c.type = self._address(t), t.ne, t.nb, t.type.id
                varying = ((d, n) for d, n in enumerate(t.ne) if isinstance(n, Dim))
                patches += [(i, place, lib.GG_PATCH_NE, d, self._number[n.name], 0) for d, n in varying]
        for j, value in enumerate(node.params if kernel.params is None else kernel.params):
            if isinstance(value, Dim):
                patches.append((i, 0, lib.GG_PATCH_PARAM, j, self._number[value.name], 0))
            if isinstance(value, float):
                step.params[j].f = value
            elif not isinstance(value, str):  # the name of an op, which is a constant of the shader
                step.params[j].i = int(value)
        step.node = i
        return patches


def _kernel(node: Node, device: str) -> Kernel:
    kernel = kernel_of(node)
    if kernel is None:
        raise NoKernelError(f"{node.op} {node.name!r}: {device} has no kernel for it, and what it writes to lies there")
    return kernel


def _variables(nodes: Sequence[Node]) -> dict[str, int]:
    largest: dict[str, int] = {}
    for node in nodes:
        sizes = [n for t in (node.dst, *node.src) if t is not None for n in t.ne]
        for n in (*sizes, *node.params):
            if isinstance(n, Dim):
                largest[n.name] = min(int(n), largest.get(n.name, int(n)))
    return largest


def _upload_tables(kernels: Sequence[Kernel], opened: Opened, device: str) -> dict[int, Tensor]:
    """The kernels' tables in one piece of the device's memory, by the ids of their arrays."""
    tables = {id(table): table for kernel in kernels for table in kernel.tables}
    rooms = [-(-table.nbytes // ALIGNMENT) * ALIGNMENT for table in tables.values()]
    memory = Memory(opened, sum(rooms), "local") if tables else None
    at, tensors = 0, {}
    for key, table, room in zip(tables, tables.values(), rooms, strict=True):
        assert memory is not None
        t = tensors[key] = Tensor(TYPES["f32" if table.dtype == np.float32 else "i32"], (table.size,))
        t.place(VulkanBuffer(memory, at, table.nbytes, device=device, use="rows"))
        t.set(table)
        at += room
    return tensors
