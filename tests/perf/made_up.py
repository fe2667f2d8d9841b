"""Traces made by hand, with times that are easy to check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ggtui.core.graph.cost import Cost
from ggtui.core.runtime.record import (
    WAKE,
    GraphInfo,
    Limits,
    MemoryUse,
    NodeInfo,
    NodeRecord,
    OriginalInfo,
    Records,
    RunInfo,
    TensorInfo,
    TokenRecord,
    Trace,
    thread_lanes,
)

# Of the three nodes, each token later of the last one an operation more.
FLOPS = (Cost(), Cost.of(3000), Cost(((999, ()), (1, ("n_kv",)))))
TRAFFIC = (Cost.of(100), Cost.of(8000), Cost.of(4000))


KIND = {"get_rows": "gather", "quantize": "round", "mul_mat": "product"}


def node(id: int, key: str, op: str = "mul_mat", parts: tuple[str, ...] = (), type: str = "q8_0") -> NodeInfo:
    result = TensorInfo(key, "f32", (256, 1, 1, 1))
    layer = int(key.split(".")[1]) if key.startswith("blk.") else None
    weights = TensorInfo(f"{key}.weight", type, (64, 256, 1, 1))
    src = (id - 1,) if id else ()
    return NodeInfo(
        id, key, op, result, src, (weights,), (OriginalInfo(key, op, result),), parts or (op,), id,
        flops=FLOPS[id], traffic=TRAFFIC[id], kinds=tuple(KIND[part] for part in parts or (op,)), key=key,
        layer=layer, type=type,
    )  # fmt: skip


NODES = (
    node(0, "token_embd", "get_rows"),
    node(1, "blk.0.ffn_up", parts=("quantize", "mul_mat")),
    node(2, "output", type="f16"),
)
GRAPH = GraphInfo(NODES, "avx2", thread_lanes(2), n_tokens=1)
RUN = RunInfo(
    ggtui="1", system="Linux x86_64", processor="a processor", cores=2, device="cpu", isa="avx2", threads=2,
    model="model.gguf", architecture="gpt2", types={"q8_0": 1000}, kv_type="f16", n_ctx=64, batch=32,
    profile="full", stamp_ns=20.0, token_ns=101.0, plain_token_ns=100.0,
)  # fmt: skip
LIMITS = Limits("avx2", 2, ((1000, 8e9), (1_000_000, 4e9)), int8=2e9, f32=1e9, barrier_ns=100.0)
MEMORY = MemoryUse(weights=1 << 20, kv=1 << 10, activations=512, records=64)

# (node, part): work of each thread in nanoseconds, and whether the threads meet afterwards.
STEPS: tuple[tuple[int, int, tuple[int, int], bool], ...] = (
    (0, 0, (100, 0), True),
    (1, 0, (50, 50), False),
    (1, 1, (1000, 1500), True),
    (2, 0, (2000, 1900), True),
)


def records(scale: float = 1.0, node_scale: dict[int, float] | None = None) -> list[NodeRecord]:
    """One evaluation of STEPS; thread 1 wakes 10 ns after thread 0."""
    made = []
    clock = [10, 20]
    for thread in (0, 1):
        made.append(NodeRecord(WAKE, 0, thread, 0, clock[thread], clock[thread]))
    for n, part, work, meets in STEPS:
        factor = scale * (node_scale or {}).get(n, 1.0)
        starts = list(clock)
        ends = [clock[t] + round(work[t] * factor) for t in (0, 1)]
        clock = [max(ends)] * 2 if meets else ends
        made += [NodeRecord(n, part, t, starts[t], ends[t], clock[t]) for t in (0, 1)]
    return sorted(made, key=lambda r: r.lane)


def trace(scale: float = 1.0, node_scale: dict[int, float] | None = None, n: int = 5) -> Trace:
    """n evaluations, each 1% slower than the one before."""
    tokens = []
    for i in range(n):
        mine = records(scale * (1 + 0.01 * i), node_scale)
        tokens.append(
            TokenRecord(
                n_past=i, n_tokens=1, eval_ns=max(r.done for r in mine), sample_ns=30, records=tuple(mine),
                kv_bytes=16 * (i + 1),
            )
        )  # fmt: skip
    return Trace((GRAPH,), tuple(tokens), MEMORY, RUN, limits=LIMITS)


def rested(t: Trace) -> Trace:
    """Its evaluations by thread 0 alone, while thread 1 rested: as the executor records that."""
    tokens = []
    for token in t.tokens:
        table = Records.of(token.records).table
        mine, rest = table[table[:, 2] == 0], table[(table[:, 2] == 1) & (table[:, 0] == WAKE)]
        mine[:, 5] = mine[:, 4] = np.cumsum(mine[:, 4] - mine[:, 3])  # nobody to wait for
        mine[1:, 3] = mine[:-1, 5]
        rest[:, 4:] = done = int(mine[-1, 5])
        tokens.append(replace(token, records=Records(np.concatenate([mine, rest])), eval_ns=done))
    return replace(t, tokens=tuple(tokens))


def with_a_third_that_rests(t: Trace) -> Trace:
    """Its evaluations, and of a third thread that it rested."""
    tokens = []
    for token in t.tokens:
        table = Records.of(token.records).table
        rest = np.array([[WAKE, 0, 2, 0, token.eval_ns, token.eval_ns]], np.int64)
        tokens.append(replace(token, records=Records(np.concatenate([table, rest]))))
    return replace(t, graphs=tuple(replace(g, lanes=thread_lanes(3)) for g in t.graphs), tokens=tuple(tokens))
