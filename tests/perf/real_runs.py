"""Traces of small graphs that really ran."""

from __future__ import annotations

import time
from typing import Any

from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.record import MemoryUse, TokenRecord, Trace


def traced(result: Any, threads: int = 2, fused: bool = True) -> Trace:
    g = Graph()
    g.build_forward_expand(result)
    plan = g.plan(fused=fused)
    buffer, pool = plan.recorder("full", threads), shared_pool("cpu", threads)
    plan.run(pool, {}, buffer)
    started = time.perf_counter_ns()
    plan.run(pool, {}, buffer)
    token = TokenRecord(0, 1, time.perf_counter_ns() - started, records=buffer.take())
    return Trace((plan.info(threads),), (token,), MemoryUse())
