"""A trace in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ggtui.core.runtime.busy import BUSY
from ggtui.core.runtime.record import Lane, Limits, RunInfo, Trace
from ggtui.perf.bounds import read_earlier, read_least, read_rate
from ggtui.perf.lanes import calling
from ggtui.perf.lanes import in_words as lanes_in_words
from ggtui.perf.stage import EACH, Interruption, Stage, stages


def what_ran(name: str) -> str:
    """What an evaluation of the stage of that name reads, as the title of a picture of its graph."""
    return {"generation": "one token", "prompt": "the prompt"}.get(name, f"a {EACH[name]}")


def each_of(stage: Stage) -> str:
    """What one of its evaluations is called, with how many tokens it read."""
    sized = "" if stage.name == "generation" else f" of {stage.n_tokens / len(stage.tokens):.0f} tokens"
    return stage.each + sized


def in_words(trace: Trace) -> list[str]:
    """The run, a line each."""
    return [*busy_machine(trace.run), *(line for stage in stages(trace) for line in stage_in_words(stage))]


def stage_in_words(stage: Stage) -> list[str]:
    """A stage: how fast it is, what binds it, where its lanes' time goes, what interrupted it, what clocks were off."""
    lines = [_speed(stage), *_bound(stage), *_launches(stage), _lanes(stage), *_interruptions(stage), *_clocks(stage)]
    if stage.dropped:
        lines.append(f"{stage.name}: {stage.dropped} records did not fit and are missing")
    return lines


def busy_machine(run: RunInfo) -> list[str]:
    """That other programs, or other machines on this hardware, took much of the cores, and what not to rely on."""
    said = used_by_others((run.others, run.stolen))
    if not said:
        return []
    return [
        said,
        "tokens a second, and what threads waited for, are those of this moment; the times of evaluations and nodes, "
        "with shares and p95, are without what was lost",
    ]


def used_by_others(*measured: tuple[float, float]) -> str:
    """The largest parts of the cores that other programs, and other virtual machines, used in any of the measurements;
    "" where that is nothing to speak of."""
    said = []
    for who, parts in zip(("other programs", "other virtual machines"), zip(*measured, strict=True), strict=True):
        much = [part for part in parts if part >= BUSY]
        if much:
            said.append(f"{who} used {'up to ' if len(much) > 1 else ''}{max(much):.0%} of these cores")
    return f"busy machine: {' and '.join(said)}" if said else ""


def _speed(stage: Stage) -> str:
    evals = stage.evals
    p95 = f", p95 {evals.p95 / 1e6:.2f} ms" if evals.p95 is not None else ""
    sampling = stage.samples
    chosen = f", and {sampling.mean / 1e6:.3f} ms to choose the next" if sampling.mean else ""
    takes = f"{evals.mean / 1e6:.2f} ms{stage.undisturbed}{p95}"
    return f"{stage.name}: {stage.tokens_per_s:.1f} tok/s; a {each_of(stage)} takes {takes}{chosen}"


def _bound(stage: Stage) -> list[str]:
    traffic, total = stage.traffic, float(stage.traffic.sum())
    heaviest = stage.graph.nodes[int(traffic.argmax())] if total else None
    share = f"; {heaviest.key or heaviest.name} is {traffic.max() / total:.0%} of the bytes" if heaviest else ""
    binds, reached = stage.bound
    limits = stage.limits
    if reached is None or limits is None:
        return [f"{stage.name} moves {total / 1e6:.1f} MB an evaluation{share}"] if total else []
    if binds == "compute":
        bound = f"compute-bound: {reached:.0%} of {stage.compute_limit / 1e9:.0f} GFLOP/s"
    elif binds == "memory":
        bound = f"memory-bound: {reached:.0%} of {_read_limit(limits, total)}"
    else:
        allowed = _read_limit(limits, total)
        bound = f"bound by the caches: {total / stage.evals.mean:.1f} GB/s, more than {allowed} for so many bytes"
    if reached < 0.4:
        bound = f"far from what the machine allows ({bound})"
    return [f"{stage.name} is {bound}{share}"]


def _launches(stage: Stage) -> list[str]:
    """What a GPU takes for its nodes one behind the other, whatever they compute."""
    limits = stage.limits
    if limits is None or not limits.submit_ns:
        return []
    n = sum(node.device == limits.device for node in stage.graph.nodes)
    ns = n * limits.barrier_ns + limits.submit_ns
    share = ns / stage.evals.mean if stage.evals.mean else 0.0
    return [
        f"{stage.name}: {n} launch{'es' * (n > 1)} and a submit by themselves take {ns / 1e6:.2f} ms, {share:.0%} of it"
    ]


def _read_limit(limits: Limits, n_bytes: float) -> str:
    """How fast so many bytes are read, by probes of now, and by earlier ones."""
    high, low = (f"{(rate(limits, n_bytes) or 0.0) / 1e9:.1f}" for rate in (read_rate, read_least))
    said = [f"probes: {low} to {high}"] if low != high else []
    earlier = read_earlier(limits, n_bytes)
    if earlier is not None:
        said.append(f"earlier: {earlier[0] / 1e9:.1f} to {earlier[1] / 1e9:.1f}")
    return f"{high} GB/s ({'; '.join(said)})" if said else f"{high} GB/s"


def _lanes(stage: Stage) -> str:
    """All of the lanes' time, in parts that add up."""
    if not any(t.total for t in stage.lanes):
        return f"{stage.name}: nothing was recorded"
    alone = len(stage.lanes) == 1
    parts = [
        f"{stage.part(name):.1%} {what}"
        for name, what in (
            ("work", "work"), ("wait", "waiting" if alone else "waiting for each other"), ("wake", "waking up"),
            ("lost", "not scheduled"), ("held", "waiting for a thread that was not scheduled"),
            ("rest", "resting, since fewer are faster beside other programs"), ("call", "calling it"),
        )
        if name in ("work", "wake") or (name == "wait" and not alone) or stage.part(name) >= 0.005
    ]  # fmt: skip
    return f"{stage.name}: {_whose(stage.graph.lanes)} is {', '.join(parts)}"


def _whose(lanes: Sequence[Lane]) -> str:
    """Whose time it is."""
    if len(lanes) == 1:
        return "its time"
    told = " and ".join(lanes_in_words(lanes).rsplit(", ", 1))
    return "the threads' time" if all(lane.is_thread for lane in lanes) else f"the time of {told}"


def _clocks(stage: Stage) -> list[str]:
    """By how much the times of some lanes may be off."""
    off = [f"{lane.name} by {lane.error_ns / 1e3:.1f} us" for lane in stage.graph.lanes if lane.error_ns]
    first = stage.graph.lanes[0].name
    return [f"{stage.name}: beside {first}, times may be off: {', '.join(off)}"] if off else []


def _interruptions(stage: Stage) -> list[str]:
    said = interruptions(stage.interruptions, len(stage.tokens))
    return [f"{stage.name}: {said}"] if said else []


def interruptions(found: Sequence[Interruption], n: int) -> str:
    """How many of `n` evaluations, how long, where; "" for none."""
    if not found:
        return ""
    longest = max(found, key=lambda i: i.ns)
    where = f"at n_past {longest.n_past}"
    if len(found) == 1:
        return f"1 interruption of {longest.ns / 1e6:.1f} ms {where}"
    total = sum(i.ns for i in found)
    many = (
        f"{len(found)} of {n} evaluations were interrupted," if 2 * len(found) > n else f"{len(found)} interruptions of"
    )
    return f"{many} {total / 1e6:.1f} ms in all, the longest {longest.ns / 1e6:.1f} ms {where}"


def overhead(trace: Trace) -> dict[str, Any]:
    """What profiling cost the generation: stamps taken in one evaluation by its caller, what part of the evaluations
    was recorded, what stamps take of the time, and the time of a token against one without a profile (None where that
    was not measured)."""
    run = trace.run
    stage = next((s for s in stages(trace) if s.name == "generation"), None)
    stamps, recorded = 0.0, 1.0
    if stage is not None and stage.light is not None:
        counts = [t.count for t in trace.totals if trace.graphs[t.graph] is stage.graph]
        recorded = min(max(counts) / len(stage.tokens), 1.0)  # a trace may be of fewer tokens than its sums
    if stage is not None:
        mine = [n for n in stage.graph.nodes if n.device in ("", stage.graph.lanes[calling(stage.graph.lanes)].device)]
        steps = sum(len(n.parts) for n in mine)
        barriers = len({n.phase for n in mine}) if stage.graph.n_threads > 1 else 0
        stamps = float(steps + barriers + 1)
    share = recorded * stamps * run.stamp_ns / stage.evals.mean if stage is not None and stage.evals.mean else 0.0
    measured = run.token_ns / run.plain_token_ns - 1 if run.plain_token_ns and run.token_ns else None
    return {
        "stamps": stamps, "stamp_ns": run.stamp_ns, "recorded": recorded, "share": share, "end_to_end": measured
    }  # fmt: skip
