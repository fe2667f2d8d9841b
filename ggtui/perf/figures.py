"""A trace as plain values, for scripts: ggtui.perf.summary."""

from __future__ import annotations

from typing import Any

from ggtui.core.runtime.record import RunInfo, Trace
from ggtui.perf.stage import Stage, stages
from ggtui.perf.table import rows


def summary(trace: Trace) -> dict[str, dict[str, Any]]:
    """Of "generation", "prompt" and of runs of several sequences "batch" (a token of each) and "mixed", and
    "training", those that ran and were recorded, a dict:

    nodes    the largest first, each a dict: node, op, type, time_ns (of one evaluation), share (of an evaluation),
             work_share (of the work of all nodes), gb_s, limit ("memory", "cache", "compute", "") and limit_share (None
             where it is not known)
    tok_s    as one who waits for the tokens sees it; evaluation_ns: of a typical evaluation
    work, waiting, waking, not_scheduled, held_up, resting, calling   parts of the threads' time; together 1. Threads
             rest where fewer are faster beside other programs
    interruptions   evaluations that took far longer than their neighbours: n_past and ns of each
    busy_machine, stolen   parts of the cores' time that other programs, and other virtual machines, used

    Shares are from 0 to 1.
    """
    return {stage.name: _stage(stage, trace.run) for stage in stages(trace)}


def _stage(stage: Stage, run: RunInfo) -> dict[str, Any]:
    return {
        "nodes": [
            {
                "node": row.key, "op": row.op, "type": row.type, "time_ns": row.time.mean, "share": row.share,
                "work_share": row.work_share, "gb_s": row.bytes_per_s / 1e9, "limit": row.limit,
                "limit_share": row.of_limit,
            }
            for row in rows(stage)
        ],
        "tok_s": stage.tokens_per_s, "evaluation_ns": stage.evals.mean,
        "work": stage.part("work"), "waiting": stage.part("wait"), "waking": stage.part("wake"),
        "not_scheduled": stage.part("lost"), "held_up": stage.part("held"), "resting": stage.part("rest"),
        "calling": stage.part("call"),
        "interruptions": [{"n_past": i.n_past, "ns": i.ns} for i in stage.interruptions],
        "busy_machine": run.others, "stolen": run.stolen,
    }  # fmt: skip
