"""Makes tests/data/tales-trace.json anew, the run that all screens are tested over:

    python tests/viz/tui/make_frozen.py
    GGTUI_SNAPSHOTS=write python -m pytest tests/viz/tui    # then read what changed before it is kept

The graphs are those of the built-in model, one token's and the prompt's; machine and times are made up by rule, so that
the file is the same wherever it is made. Of each graph there are PERIOD evaluations, at n_past 0, 1, ...
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ggtui.core.engine.session import load
from ggtui.core.engine.trace_file import save
from ggtui.core.runtime.record import WAKE, GraphInfo, Limits, MemoryUse, NodeRecord, RunInfo, TokenRecord, Trace

PATH = Path(__file__).parents[2] / "data" / "tales-trace.json"
PERIOD = 7
ISA, THREADS = "avx2", 2
LIMITS = Limits(
    ISA, THREADS, ((1 << 18, 60e9), (1 << 22, 40e9), (1 << 28, 10e9)), int8=5e11, f32=2e11, barrier_ns=400.0
)
MEMORY = MemoryUse(weights=5_800_000, kv=3_200_000, activations=60_000, batch_activations=9_000_000, scratch=80_000,
                   records=400_000)  # fmt: skip


def made() -> Trace:
    """The whole trace."""
    session = load(threads=THREADS, isa="scalar", record=True)  # graphs are the same with every set
    session.eval([1, 2, 3])  # so that there is a graph of prompts
    graphs = tuple(replace(graph, isa=ISA) for graph in session.graphs())
    run = RunInfo(
        ggtui="0.1.0", created="2026-01-01T00:00:00", system="Linux x86_64", processor="a processor", cores=2,
        device="cpu", isa=ISA, threads=THREADS, model="tales.gguf", architecture="gpt2",
        types=session.run_info().types, kv_type="f16", n_ctx=session.n_ctx, batch=512, profile="full",
        stamp_ns=20.0,
    )  # fmt: skip
    per_token = session.kv.bytes_per_token
    tokens = tuple(evaluation(graphs, i, n_past, per_token) for i in range(len(graphs)) for n_past in range(PERIOD))
    return Trace(graphs, tokens, MEMORY, run, limits=LIMITS)


def evaluation(graphs: tuple[GraphInfo, ...], graph: int, n_past: int, per_token: int) -> TokenRecord:
    """A run whose nodes take 1 us and 1 ns for every 10 bytes, thread 1 a tenth more, the last of a period twice as
    long."""
    slow = 2 if n_past == PERIOD - 1 else 1
    records, clock = [], [200, 900]
    for thread in range(THREADS):
        records.append(NodeRecord(WAKE, 0, thread, 0, clock[thread], clock[thread]))
    nodes, n_tokens = graphs[graph].nodes, min(graphs[graph].n_tokens, 5)
    sizes = TokenRecord(n_past, n_tokens, 0).sizes
    for node in nodes:
        meets = node.id + 1 == len(nodes) or nodes[node.id + 1].phase != node.phase
        for part in range(len(node.parts)):
            starts = list(clock)
            work = 1000 + (node.traffic.at(sizes) // 10 if part + 1 == len(node.parts) else 0)
            clock = [starts[t] + slow * work * (10 + t) // 10 for t in range(THREADS)]
            ends = list(clock)
            if meets and part + 1 == len(node.parts):
                clock = [max(clock) + 300] * THREADS
            records += [NodeRecord(node.id, part, t, starts[t], ends[t], clock[t]) for t in range(THREADS)]
    records.sort(key=lambda r: r.lane)
    kv_bytes = (n_past + n_tokens) * per_token
    return TokenRecord(n_past, n_tokens, max(clock) + 500, 20_000, graph, tuple(records), 0, kv_bytes)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PATH
    save(made(), path)
    print(f"{path}: {path.stat().st_size:,} bytes")
