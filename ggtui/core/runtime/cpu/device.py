"""The CPU: C's kernels on a thread pool."""

from __future__ import annotations

from ggtui.core.graph.dag import Dag
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.cpu.plan import Plan
from ggtui.core.runtime.cpu.pool import Pool


class Cpu:
    """See runtime/device.py."""

    name = "cpu"

    def layout(self, type: TensorType, use: str) -> int:
        """Weights and keys lie in tiles where a kernel reads them so: one pass over a row then scores 32."""
        tiled = use in ("weights", "keys") and lib.gg_packable(type.id)
        return int(lib.GG_TILE) if tiled else 1

    def pool(self, threads: int, *, rest: bool = True) -> Pool:
        return Pool(threads, rest=rest)

    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Plan:
        return Plan(dag, fused=fused, isa=isa)


DEVICE = Cpu()
