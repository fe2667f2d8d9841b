"""The CPU's passes: a Dag in, a ScheduledDag out, in which each node has its phase and its memory.

Fusion can be left out, and the result is the same to the bit.
"""

from ggtui.core.graph.dag import Dag
from ggtui.core.runtime.cpu.passes.angles import share_angles
from ggtui.core.runtime.cpu.passes.quantize import round_activations
from ggtui.core.runtime.cpu.passes.schedule import schedule
from ggtui.core.runtime.passes.allocate import allocate
from ggtui.core.runtime.passes.fuse import fuse, name_parts
from ggtui.core.runtime.passes.parts import Product, wants_rounded
from ggtui.core.runtime.passes.scheduled import ScheduledDag


def packed_alike(gate: Product, up: Product) -> bool:
    """Whether the kernels can make both of the same columns."""
    return gate.weights.packed and up.weights.packed and wants_rounded(gate) == wants_rounded(up)


def run_passes(dag: Dag, *, fused: bool = True) -> ScheduledDag:
    """All passes in their order; `fused=False` leaves every op a node of its own."""
    dag = name_parts(dag)
    if fused:
        dag = fuse(dag, packed_alike)
    return allocate(schedule(round_activations(share_angles(dag), fused=fused)))


__all__ = ["ScheduledDag", "packed_alike", "round_activations", "run_passes", "schedule", "share_angles"]
