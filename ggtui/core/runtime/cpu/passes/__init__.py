"""Passes: a Dag in, a Dag out. Each but the last two can be left out, and the result is the same but for speed."""

from ggtui.core.graph.dag import Dag
from ggtui.core.graph.passes.prune import prune
from ggtui.core.runtime.cpu.passes.allocate import allocate
from ggtui.core.runtime.cpu.passes.fuse import fuse
from ggtui.core.runtime.cpu.passes.schedule import schedule


def run_passes(dag: Dag, *, fused: bool = True, threads: int | None = None) -> Dag:
    """All passes in their order; `fused=False` leaves every op a node of its own. Any number of threads can run the
    result; `threads` says for how many it is to be fast."""
    dag = prune(dag)
    if fused:
        dag = fuse(dag)
    return allocate(schedule(dag, threads))


__all__ = ["allocate", "fuse", "prune", "run_passes", "schedule"]
