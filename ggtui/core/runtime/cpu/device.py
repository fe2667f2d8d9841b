"""The CPU: C's kernels on a thread pool."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.errors import UsageError
from ggtui.core.graph.dag import Dag
from ggtui.core.runtime.complete import Complete
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.limits import probe
from ggtui.core.runtime.cpu.native import ISAS, isa_index
from ggtui.core.runtime.cpu.plan import Plan
from ggtui.core.runtime.cpu.pool import Pool
from ggtui.core.runtime.record import Limits


class Cpu(Complete):
    """See runtime/device.py."""

    name = "cpu"

    def context(self) -> Context:
        return Context()

    def pool(self, threads: int, *, rest: bool = True) -> Pool:
        return Pool(threads, rest=rest)

    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Plan:
        return Plan(dag, fused=fused, isa=isa)

    def limits(self, pool: Pool, isa: str | None, sizes: Sequence[int]) -> Limits:
        return probe(pool, isa_index(isa), sizes)

    def limits_key(self, threads: int, isa: str | None) -> str:
        return f"{ISAS[isa_index(isa)]} {threads}"


def device(number: int | None) -> Cpu:
    """There is one. Raises UsageError for another."""
    if number:
        raise UsageError(f"device cpu:{number}: there is one, cpu")
    return Cpu()
