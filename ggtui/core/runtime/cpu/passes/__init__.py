"""The CPU's passes: a Dag in, a CpuDag out, in which each node has its phase and its memory.

Fusion can be left out, and the result is the same to the bit.
"""

from ggtui.core.graph.dag import Dag
from ggtui.core.runtime.cpu.passes.allocate import allocate
from ggtui.core.runtime.cpu.passes.angles import share_angles
from ggtui.core.runtime.cpu.passes.fuse import fuse, name_parts
from ggtui.core.runtime.cpu.passes.quantize import round_activations
from ggtui.core.runtime.cpu.passes.schedule import CpuDag, schedule


def run_passes(dag: Dag, *, fused: bool = True) -> CpuDag:
    """All passes in their order; `fused=False` leaves every op a node of its own."""
    dag = name_parts(dag)
    if fused:
        dag = fuse(dag)
    return allocate(schedule(round_activations(share_angles(dag), fused=fused)))


__all__ = ["CpuDag", "allocate", "fuse", "name_parts", "round_activations", "run_passes", "schedule", "share_angles"]
