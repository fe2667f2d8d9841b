"""What a kernel is: how one node becomes a dispatch of a shader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ggtui.core.graph.dag import Node
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.tensor import Param, Tensor

RESULT = -1  # the tensor whose sizes groups cover
ROWS = (0b0010, 0b0100, 0b1000)  # dims, where a workgroup does a row

FEW_ROWS = 16  # so few don't keep a device busy


@dataclass(frozen=True, slots=True)
class Kernel:
    """A shader and its constants, and what it is handed.

    shader     its file's name, without .comp; group: threads of a workgroup, its constant 0; constants: those from 1 on
    covers     the tensor that groups are counted by: RESULT, or the number of a source
    dims, per  of each dimension of the groups the bits of those sizes whose product it covers; how many a group does
    src        the tensors that the shader reads in place of the node's sources; params: numbers in place of the node's
    tables     constants, float32 or int32, that it reads behind those as tensors of one dimension; the same array where
               kernels share one
    subgroup   the size of subgroups that it needs, 0 for any
    """

    shader: str
    constants: tuple[int, ...] = ()
    group: int = 256
    covers: int = RESULT
    dims: tuple[int, int, int] = (0b1111, 0, 0)
    per: tuple[int, int, int] = (256, 1, 1)
    src: tuple[Tensor | None, ...] | None = None
    params: tuple[Param, ...] | None = None
    tables: tuple[Array, ...] = ()
    subgroup: int = 0


Maker = Callable[[Node], Kernel | None]  # None: the device has no kernel for such a node


def threads_for(rows: Tensor) -> int:
    """Threads of a workgroup that does a row at a time. Few idle in a short row, and where there are many rows to keep
    the device busy few have to wait for each other."""
    most = 256 if rows.n_rows <= FEW_ROWS else 64
    threads = 32
    while threads < min(rows.ne[0], most):
        threads *= 2
    return threads
