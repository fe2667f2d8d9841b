"""What a session runs, where and how, as a trace tells it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ggtui.core.runtime.cores import here
from ggtui.core.runtime.cpu.recorder import stamp_ns
from ggtui.core.runtime.record import RunInfo


def run_info(session: Any) -> RunInfo:
    """Of a session.Session, which is not imported here since it asks for this."""
    types: Counter[str] = Counter()
    for t in session.weights.values():
        types[t.type.name] += t.n_bytes if t.n_rows > 1 else 0
    busy = session.watch.busy
    return here(
        device=session.device, isa=session.isa, threads=session.threads, model=session.path.name,
        architecture=str(session.metadata["general.architecture"]), types={k: n for k, n in types.items() if n},
        kv_type=session.kv_type, n_ctx=session.n_ctx, batch=session.batch, fused=session.fused,
        profile=session.profile, stamp_ns=stamp_ns(session.threads), others=busy.others, stolen=busy.stolen,
    )  # fmt: skip
