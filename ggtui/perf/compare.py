"""One trace against another: which nodes became slower or faster, joined on their keys.

Traces are only compared where they should agree: the same machine, threads, instruction set, quantization and graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot, log, sqrt

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import RunInfo, Trace
from ggtui.perf.bounds import read_rate
from ggtui.perf.intervals import BUSY_ERROR, BUSY_WHOLE_ERROR, PACE_ERROR, RUN_ERROR, Estimate, Interval, ratio
from ggtui.perf.scheduling import Floats
from ggtui.perf.stage import STAGES, Stage, stages
from ggtui.perf.table import rows

WHOLE = "whole evaluation"
JUDGED = 0.05  # of the work: nodes that take less are shown, and not judged
_OTHER_PACE = 0.15  # by which probes of one machine differ anyway
_GRAIN_NS = 15.0  # that short nodes differ by: clocks tick, and lines of the cache are here or there
_FARTHER = (
    1.5  # times as long takes the way between threads whose cores are farther apart, by the median of the records
)
_PROBED_FARTHER = 2.0  # and by single probes
_FEW = 4  # repetitions, fewer than which say too little of how they differ
_PIECES = 8  # of a run that was not repeated
_NEIGHBOURS = 16  # evaluations that count as one where a light profile keeps only their sums


@dataclass(frozen=True, slots=True)
class Change:
    """Nanoseconds of one evaluation before and now, of a node or of the whole stage, and in what interval now / before
    lies. `to_others`: the same of a node's time to that of all others, which the pace of the machine does not move: by
    it nodes are judged."""

    stage: str
    key: str
    base: float
    now: float
    ratio: Interval
    to_others: Interval | None = None

    @property
    def delta(self) -> float:
        return self.now - self.base

    @property
    def shown(self) -> bool:
        """Whether there is a change at all, for all that was measured."""
        found = [self.ratio, *([self.to_others] if self.to_others else [])]
        same_way = all(r.value > 1 for r in found) or all(r.value < 1 for r in found)
        return same_way and any(not r.has(1.0) for r in found)


@dataclass(frozen=True, slots=True)
class Comparison:
    """whole: the evaluations themselves. changes: the nodes, the largest shown change first. worse: what is beyond the
    gate; unclear: what may be, but was measured too noisily to tell; of whole evaluations and of the nodes that take
    JUDGED or more. `missing` and `new` are nodes that only one of the traces has. slower_machine: how many times as
    long the machine itself takes now in a stage, where its limits say so: that much is no reason to fail.
    handoff: nanoseconds before and now from one thread to another, where these are far from each other: the threads ran
    on cores closer together or farther apart, or busy, and so many times as long may all take that one thread hands to
    another."""

    whole: tuple[Change, ...]
    changes: tuple[Change, ...]
    worse: tuple[Change, ...]
    unclear: tuple[Change, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    slower_machine: Mapping[str, float] = field(default_factory=dict)
    handoff: tuple[float, float] | None = None


def run_differences(base: RunInfo, now: RunInfo) -> list[str]:
    """What of machine, model and settings keeps two runs from being compared, each in words."""
    found = []
    for name, what in (
        ("system", "system"),
        ("processor", "machine"),
        ("cores", "cores of the machine"),
        ("device", "device"),
        ("threads", "threads"),
        ("isa", "instruction set"),
        ("architecture", "architecture"),
        ("types", "quantization"),
        ("kv_type", "type of the KV cache"),
        ("n_ctx", "context"),
        ("batch", "batch"),
        ("fused", "fusion"),
        ("profile", "profile"),
    ):
        a, b = getattr(base, name), getattr(now, name)
        if a != b:
            found.append(f"{what}: {_text(a)} in the base, {_text(b)} now")
    return found


def differences(base: Trace, now: Trace) -> list[str]:
    """What keeps two traces from being compared, each in words; none if nothing does."""
    return run_differences(base.run, now.run) or _graph_differences(base, now)


def refuse(problems: Sequence[str]) -> None:
    """Raise UsageError that names them, if there are any."""
    if problems:
        raise UsageError(f"--compare: {'; '.join(problems)}; --force compares all the same")


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{name} ({n:,} bytes)" for name, n in sorted(value.items())) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "unknown"


def _graph_differences(base: Trace, now: Trace) -> list[str]:
    old, new = ({s.name: s for s in stages(t)} for t in (base, now))
    found = [f"stage: {name} was measured in the base only" for name in old if name not in new]
    found += [f"stage: {name} was not measured in the base" for name in new if name not in old]
    for name in old.keys() & new.keys():
        a, b = _shape(old[name]), _shape(new[name])
        if a != b:
            key = next(k for k in [*a, *b] if a.get(k) != b.get(k))
            found.append(
                f"graph: {name} differs at {key}: {a.get(key, 'absent')} in the base, {b.get(key, 'absent')} now"
            )
        sizes = [sorted({t.n_tokens for t in s.tokens}) for s in (old[name], new[name])]
        if sizes[0] != sizes[1]:
            found.append(f"tokens of an evaluation of {name}: {sizes[0]} in the base, {sizes[1]} now")
    return found


def _shape(stage: Stage) -> dict[str, str]:
    nodes = stage.graph.nodes
    return {n.key: f"{n.op} {n.type} {'x'.join(map(str, n.result.ne))} [{' '.join(n.parts)}]" for n in nodes}


def compare(base: Trace, now: Trace, fail_above: float | None = None, *, force: bool = False) -> Comparison:
    """The time that threads spend on each node, each change with its interval; all intervals of a kind hold together.

    fail_above  what is judged is worse when it takes longer by more than this part of its time and its interval shows
                that it does; None: nothing is
    Raises UsageError that names what differs where traces can't be compared, unless `force`.
    """
    if not force:
        refuse(differences(base, now))
    old_stages, now_stages = ({s.name: s for s in stages(t)} for t in (base, now))
    both = [(old_stages[name], now_stages[name]) for name in STAGES if name in old_stages and name in now_stages]
    tables = [(_estimates(old), _estimates(new)) for old, new in both]
    judged = [_judged(old, new) for old, new in both]
    n_nodes = sum(len(keys & old.keys() & new.keys()) for keys, (old, new) in zip(judged, tables, strict=True))
    n_judged = len(both) + n_nodes
    n_all = max(sum(len(old.keys() & new.keys()) for old, new in tables), 1)
    busy = max(t.run.others + t.run.stolen for t in (base, now))
    handoff = moved(base, now)
    placed = RUN_ERROR / sqrt(min(t.run.loads for t in (base, now)))
    placed += abs(log(handoff[1] / handoff[0])) / 2 if handoff else 0.0
    own_error = placed + BUSY_ERROR * busy
    time_error, whole_error = hypot(own_error, PACE_ERROR), hypot(placed + BUSY_WHOLE_ERROR * busy, PACE_ERROR)
    whole, changes, largest, missing, new_keys = [], [], [], [], []
    for (first, second), (old, new), keys in zip(both, tables, judged, strict=True):
        name = first.name
        missing += [f"{name} {key}" for key in old if key not in new]
        new_keys += [f"{name} {key}" for key in new if key not in old]
        whole.append(_change(name, WHOLE, _whole(first), _whole(second), n_judged, whole_error))
        for key in (key for key in old if key in new):
            compared = n_judged if key in keys else n_all
            grain = _GRAIN_NS / max(min(old[key].time.value, new[key].time.value), 1.0)
            to_others = ratio(old[key].to_others, new[key].to_others, compared, hypot(own_error, grain))
            change = _change(name, key, old[key].time, new[key].time, n_all, hypot(time_error, grain))
            changes.append(replace(change, to_others=to_others))
            if key in keys:
                largest.append(changes[-1])
    changes.sort(key=lambda c: (not c.shown, -abs(c.delta) if c.shown else -max(c.base, c.now)))
    above = float("inf") if fail_above is None else 1 + fail_above
    paces = {old.name: _pace(old, new) for old, new in both}
    worse = tuple(c for c in [*whole, *largest] if _is_worse(c, above, paces[c.stage]))
    unclear = tuple(c for c in [*whole, *largest] if c not in worse and _may_be_worse(c, above))
    told = {name: pace for name, pace in paces.items() if pace != 1}
    return Comparison(tuple(whole), tuple(changes), worse, unclear, tuple(missing), tuple(new_keys), told, handoff)


def _is_worse(change: Change, above: float, pace: float) -> bool:
    """A whole evaluation by its time, beyond what the machine's pace explains; a node by its time to the others', if it
    has itself grown by half as much: else it is the others that became faster."""
    if change.to_others is None:
        return change.ratio.value > above and change.ratio.low > max(pace, 1.0)
    grown = change.ratio.value > (1 + above) / 2
    return grown and change.to_others.value > above and change.to_others.low > 1


def _may_be_worse(change: Change, above: float) -> bool:
    return change.ratio.high > above and (change.to_others is None or change.to_others.high > above)


def _pace(base: Stage, now: Stage) -> float:
    """How many times as long the machine itself may take now, by what it was probed to allow in both runs; 1 where that
    is about the same, or was not measured."""
    rates = []
    for stage in (base, now):
        read = read_rate(stage.limits, float(base.traffic.sum())) if stage.limits else None
        if stage.limits is None or read is None:
            return 1.0
        rates.append(stage.limits.int8 if base.bound[0] == "compute" else read)
    pace = rates[0] / rates[1]
    return pace if pace > 1 + _OTHER_PACE else 1.0


def moved(base: Trace, now: Trace) -> tuple[float, float] | None:
    """`handoff` of a Comparison: by the records, or of light profiles by the probes of a barrier, of now the most,
    since the threads may have moved between two of them."""
    before, after = (next((s.handoff for s in stages(t)), 0.0) for t in (base, now))
    farther = _FARTHER
    if not before or not after:
        if base.limits is None or now.limits is None:
            return None
        before, after = base.limits.barrier_ns, max(now.limits.barrier_ns, now.limits.barrier_most_ns)
        farther = _PROBED_FARTHER
    far = before > 0 and after > 0 and max(after / before, before / after) > farther
    return (before, after) if far else None


def _change(stage: str, key: str, base: Estimate, now: Estimate, compared: int, run_error: float) -> Change:
    return Change(stage, key, base.value, now.value, ratio(base, now, compared, run_error))


def _judged(*both: Stage) -> set[str]:
    return {row.key for stage in both for row in rows(stage) if row.work_share >= JUDGED}


def _whole(stage: Stage) -> Estimate:
    alone = stage.alone[stage.typical]
    return Estimate.of([float(alone[block].mean()) for block in _blocks(stage)])


@dataclass(frozen=True, slots=True)
class _Node:
    """Nanoseconds of an evaluation, and that to the time of all other nodes."""

    time: Estimate
    to_others: Estimate


def _estimates(stage: Stage) -> dict[str, _Node]:
    """Of each node the work of all threads, as the mean over them: how they share it differs from run to run."""
    work = stage.work.sum(axis=2).mean(axis=2)
    keys = [node.key or node.name for node in stage.graph.nodes]
    if stage.light is not None:
        counts = max(len(stage.tokens) / _NEIGHBOURS, 2.0)
        errors = {r.key: r.time.sd / sqrt(counts) / r.time.mean if r.time.mean else 0.0 for r in rows(stage)}
        found = {}
        for key, ns, part in zip(keys, work[0].tolist(), _to_others(work)[0].tolist(), strict=True):
            found[key] = _Node(*(Estimate(value, errors[key], counts - 1) for value in (ns, part)))
        return found
    means = np.stack([work[block].mean(axis=0) for block in _blocks(stage)])
    columns = zip(keys, means.T.tolist(), _to_others(means).T.tolist(), strict=True)
    return {key: _Node(Estimate.of(times), Estimate.of(parts)) for key, times, parts in columns}


def _to_others(times: Floats) -> Floats:
    """(..., nodes): the time of each to that of all others; its own where there are none."""
    others = times.sum(axis=1, keepdims=True) - times
    return np.asarray(np.divide(times, others, out=times.copy(), where=others > 0))


def _blocks(stage: Stage) -> list[NDArray[np.int64]]:
    """Numbers of typical evaluations in pieces that were measured apart: neighbours share the machine's mood, so that
    they don't count for themselves. A piece is a repetition, or where there are few of those, a part of the run."""
    n_past = np.array([t.n_past for t, typical in zip(stage.tokens, stage.typical.tolist(), strict=True) if typical])
    repeated = np.flatnonzero(np.diff(n_past) <= 0) + 1
    numbers = np.arange(len(n_past))
    if len(repeated) + 1 >= _FEW:
        return [piece for piece in np.split(numbers, repeated) if len(piece)]
    return [piece for piece in np.array_split(numbers, min(_PIECES, len(numbers))) if len(piece)]
