"""A trace of two devices made by hand: threads of the CPU begin and end, a GPU's queue has its turn between."""

from __future__ import annotations

from dataclasses import replace

from made_up import LIMITS, MEMORY, NODES, RUN

from ggtui.core.runtime.record import WAKE, GraphInfo, Lane, NodeRecord, NodeTotal, TokenRecord, Trace, thread_lanes

QUEUE = Lane("vulkan queue", "vulkan", error_ns=2000.0)
LANES = (*thread_lanes(2), QUEUE)
WALL = 10_000
# The product in the middle, of one part here, is the GPU's.
MIDDLE = replace(NODES[1], parts=("mul_mat",), kinds=("product",), device="vulkan")
GRAPH = GraphInfo((replace(NODES[0], device="cpu"), MIDDLE, replace(NODES[2], device="cpu")), "avx2", LANES)
RECORDS = (
    NodeRecord(WAKE, 0, 0, 0, 10, 10),
    NodeRecord(0, 0, 0, 10, 110, 5000),
    NodeRecord(2, 0, 0, 5000, 9000, WALL),
    NodeRecord(WAKE, 0, 1, 0, 20, 20),
    NodeRecord(0, 0, 1, 20, 80, 5000),
    NodeRecord(2, 0, 1, 5000, WALL, WALL),
    NodeRecord(WAKE, 0, 2, 0, 0, 500),
    NodeRecord(1, 0, 2, 500, 4800, WALL),
)
# Of each lane what it worked, waited and took to wake up.
TIMES = ((4100, 5890, 10), (5060, 4920, 20), (4300, 5700, 0))


def trace(n: int = 3, records: tuple[NodeRecord, ...] = RECORDS) -> Trace:
    tokens = tuple(TokenRecord(i, 1, WALL, 30, records=records, start_ns=i * (WALL + 30)) for i in range(n))
    return Trace((GRAPH,), tokens, MEMORY, replace(RUN, device="vulkan"), limits=LIMITS)


def light(n: int = 3) -> Trace:
    """The same as a light profile keeps it, where the GPU's runs are not those of the threads: one less."""
    full, totals = trace(n), []
    for r in RECORDS:
        count, work, wait = n - (r.lane == 2), r.end - r.start, r.done - r.end
        sums = count * work, work, work, count * wait, float(count * work * work)
        totals.append(NodeTotal(0, r.node, r.part, r.lane, count, *sums))
    return replace(full, tokens=tuple(replace(t, records=()) for t in full.tokens), totals=tuple(totals))
