"""One trace against another: which nodes became slower or faster, joined on their keys.

Traces are only compared where they should agree: the same machine, threads, instruction set, quantization and graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from math import hypot, log, sqrt

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import RunInfo, Trace
from ggtui.perf.bounds import read_rate
from ggtui.perf.intervals import BUSY_ERROR, BUSY_WHOLE_ERROR, PACE_ERROR, RUN_ERROR, Estimate, Interval, ratio
from ggtui.perf.lanes import in_words, whose
from ggtui.perf.scheduling import Floats
from ggtui.perf.stage import STAGES, Stage, stages
from ggtui.perf.table import rows

_Blocks = list[NDArray[np.int64]]

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
    another. whose: whose time the changes are of."""

    whole: tuple[Change, ...]
    changes: tuple[Change, ...]
    worse: tuple[Change, ...]
    unclear: tuple[Change, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    slower_machine: Mapping[str, float] = field(default_factory=dict)
    handoff: tuple[float, float] | None = None
    whose: str = "the threads' time"


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
        first, second = (in_words(s[name].graph.lanes) for s in (old, new))
        if first != second:
            found.append(f"lanes: {name} ran on {first} in the base, on {second} now")
        a, b = _shape(old[name], base.run), _shape(new[name], now.run)
        if a != b:
            key = next(k for k in [*a, *b] if a.get(k) != b.get(k))
            found.append(
                f"graph: {name} differs at {key}: {a.get(key, 'absent')} in the base, {b.get(key, 'absent')} now"
            )
        sizes = [sorted({t.n_tokens for t in s.tokens}) for s in (old[name], new[name])]
        if sizes[0] != sizes[1]:
            found.append(f"tokens of an evaluation of {name}: {sizes[0]} in the base, {sizes[1]} now")
    return found


def _shape(stage: Stage, run: RunInfo) -> dict[str, str]:
    """What each node is, and where it ran if that was not on the run's device."""
    found = {}
    for n in stage.graph.nodes:
        where = "" if n.device in ("", run.device) else f" on {n.device}"
        found[n.key] = f"{n.op} {n.type} {'x'.join(map(str, n.result.ne))} [{' '.join(n.parts)}]{where}"
    return found


def compare(base: Trace, now: Trace, fail_above: float | None = None, *, force: bool = False) -> Comparison:
    """The time that lanes spend on each node, each change with its interval; all intervals of a kind hold together.

    fail_above  what is judged is worse when it takes longer by more than this part of its time and its interval shows
                that it does; None: nothing is
    Raises UsageError that names what differs where traces can't be compared, unless `force`.
    """
    if not force:
        refuse(differences(base, now))
    old_stages, now_stages = ({s.name: s for s in stages(t)} for t in (base, now))
    both = [_Pair.of(old_stages[n], now_stages[n]) for n in STAGES if n in old_stages and n in now_stages]
    n_nodes = sum(len(pair.judged & pair.old.keys() & pair.new.keys()) for pair in both)
    n_judged = len(both) + n_nodes
    n_all = max(sum(len(pair.old.keys() & pair.new.keys()) for pair in both), 1)
    busy = max(t.run.others + t.run.stolen for t in (base, now))
    loads = min(t.run.loads for t in (base, now))
    whole, changes, largest, missing, new_keys = [], [], [], [], []
    for pair in both:
        name, old, new = pair.first.name, pair.old, pair.new
        placed = RUN_ERROR / sqrt(max(loads * pair.kept, 1.0))
        placed += abs(log(pair.handoff[1] / pair.handoff[0])) / 2 if pair.handoff else 0.0
        own_error = placed + BUSY_ERROR * busy
        time_error, whole_error = hypot(own_error, PACE_ERROR), hypot(placed + BUSY_WHOLE_ERROR * busy, PACE_ERROR)
        missing += [f"{name} {key}" for key in old if key not in new]
        new_keys += [f"{name} {key}" for key in new if key not in old]
        whole.append(_change(name, WHOLE, *pair.whole, n_judged, whole_error))
        for key in (key for key in old if key in new):
            compared = n_judged if key in pair.judged else n_all
            grain = _GRAIN_NS / max(min(old[key].time.value, new[key].time.value), 1.0)
            to_others = ratio(old[key].to_others, new[key].to_others, compared, hypot(own_error, grain))
            change = _change(name, key, old[key].time, new[key].time, n_all, hypot(time_error, grain))
            changes.append(replace(change, to_others=to_others))
            if key in pair.judged:
                largest.append(changes[-1])
    changes.sort(key=lambda c: (not c.shown, -abs(c.delta) if c.shown else -max(c.base, c.now)))
    above = float("inf") if fail_above is None else 1 + fail_above
    paces = {pair.first.name: _pace(pair.first, pair.second) for pair in both}
    worse = tuple(c for c in [*whole, *largest] if _is_worse(c, above, paces[c.stage]))
    unclear = tuple(c for c in [*whole, *largest] if c not in worse and _may_be_worse(c, above))
    told = {name: pace for name, pace in paces.items() if pace != 1}
    handoff = next((pair.handoff for pair in both if pair.handoff), None)
    of = whose([lane for pair in both for lane in pair.second.graph.lanes])
    return Comparison(tuple(whole), tuple(changes), worse, unclear, tuple(missing), tuple(new_keys), told, handoff, of)


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
        read = read_rate(stage.limits, base.limited_traffic) if stage.limits else None
        if stage.limits is None or read is None:
            return 1.0
        rates.append(stage.limits.int8 or stage.limits.f32 if base.bound[0] == "compute" else read)
    pace = rates[0] / rates[1]
    return pace if pace > 1 + _OTHER_PACE else 1.0


@dataclass(frozen=True)
class _Pair:
    """A stage in both traces, by the pieces of each in which the threads were as far apart as in the other's.

    kept     what part of the pieces these are
    handoff  as of a Comparison, where there are no such
    """

    first: Stage
    second: Stage
    old: dict[str, _Node]
    new: dict[str, _Node]
    whole: tuple[Estimate, Estimate]
    judged: set[str]
    kept: float
    handoff: tuple[float, float] | None

    @classmethod
    def of(cls, first: Stage, second: Stage) -> _Pair:
        (a, b), handoff = _alike(first, second)
        kept = min(len(a) / len(_blocks(first)), len(b) / len(_blocks(second)))
        whole = _whole(first, a), _whole(second, b)
        return cls(
            first, second, _estimates(first, a), _estimates(second, b), whole, _judged(first, second), kept, handoff
        )


def undecided(base: Trace, now: Trace, fail_above: float | None = None) -> bool:
    """Whether measuring again may tell what this did not: the threads ran on cores at another distance, or a node is
    slower by its time to the others' and not by its own, so that either the node or the machine changed."""
    found = compare(base, now, fail_above, force=True)
    above = 1 + (fail_above or 0.0)
    torn = (c.to_others for c in found.unclear if c.to_others)
    return found.handoff is not None or any(r.value > above and r.low > 1 for r in torn)


def _alike(first: Stage, second: Stage) -> tuple[tuple[_Blocks, _Blocks], tuple[float, float] | None]:
    """The pieces of each in which the threads were equally far apart; all, and `handoff` of a Comparison, where there
    are not enough. Of light profiles, which know no pieces, probes of a barrier tell: of now the most, since the
    threads may have moved between two of them."""
    blocks = _blocks(first), _blocks(second)
    if first.handoffs is None or second.handoffs is None:
        if first.limits is None or second.limits is None or not (_of_threads(first) and _of_threads(second)):
            return blocks, None
        probed = first.limits.barrier_ns, max(second.limits.barrier_ns, second.limits.barrier_most_ns)
        far = min(probed) > 0 and max(probed) > _PROBED_FARTHER * min(probed)
        return blocks, probed if far else None
    old, new = _medians(first.handoffs, blocks[0]), _medians(second.handoffs, blocks[1])
    # The distance that most pieces of both have: from that of one of them to _FARTHER times as much.
    nearest = max((*old, *new), key=lambda ns: min(_at(old, ns).sum(), _at(new, ns).sum()))
    a, b = (list(compress(*pair)) for pair in zip(blocks, (_at(old, nearest), _at(new, nearest)), strict=True))
    if min(len(a), len(b)) < min(_FEW, len(old), len(new)):
        return blocks, (float(np.median(old)), float(np.median(new)))
    return (a, b), None


def _of_threads(stage: Stage) -> bool:
    """Whether its limits are those of threads, which can be farther apart from each other."""
    device = stage.limits.device if stage.limits else ""
    return any(lane.is_thread for lane in stage.graph.lanes if lane.device == device)


def _medians(values: Floats, blocks: _Blocks) -> Floats:
    return np.array([np.median(values[block]) for block in blocks])


def _at(handoffs: Floats, ns: float) -> NDArray[np.bool_]:
    return np.asarray((handoffs >= ns) & (handoffs <= _FARTHER * ns))


def _change(stage: str, key: str, base: Estimate, now: Estimate, compared: int, run_error: float) -> Change:
    return Change(stage, key, base.value, now.value, ratio(base, now, compared, run_error))


def _judged(*both: Stage) -> set[str]:
    return {row.key for stage in both for row in rows(stage) if row.work_share >= JUDGED}


def _whole(stage: Stage, blocks: _Blocks) -> Estimate:
    alone = stage.alone[stage.typical]
    return Estimate.of([float(alone[block].mean()) for block in blocks])


@dataclass(frozen=True, slots=True)
class _Node:
    """Nanoseconds of an evaluation, and that to the time of all other nodes."""

    time: Estimate
    to_others: Estimate


def _estimates(stage: Stage, blocks: _Blocks) -> dict[str, _Node]:
    """Of each node the work of all lanes, as the mean over them: how they share it differs from run to run."""
    work = stage.work.sum(axis=2).mean(axis=2)
    keys = [node.key or node.name for node in stage.graph.nodes]
    if stage.light is not None:
        counts = max(len(stage.tokens) / _NEIGHBOURS, 2.0)
        errors = {r.key: r.time.sd / sqrt(counts) / r.time.mean if r.time.mean else 0.0 for r in rows(stage)}
        found = {}
        for key, ns, part in zip(keys, work[0].tolist(), _to_others(work)[0].tolist(), strict=True):
            found[key] = _Node(*(Estimate(value, errors[key], counts - 1) for value in (ns, part)))
        return found
    means = np.stack([work[block].mean(axis=0) for block in blocks])
    columns = zip(keys, means.T.tolist(), _to_others(means).T.tolist(), strict=True)
    return {key: _Node(Estimate.of(times), Estimate.of(parts)) for key, times, parts in columns}


def _to_others(times: Floats) -> Floats:
    """(..., nodes): the time of each to that of all others; its own where there are none."""
    others = times.sum(axis=1, keepdims=True) - times
    return np.asarray(np.divide(times, others, out=times.copy(), where=others > 0))


def _blocks(stage: Stage) -> _Blocks:
    """Numbers of typical evaluations in pieces that were measured apart: neighbours share the machine's mood, so that
    they don't count for themselves. A piece is a repetition, or where there are few of those, a part of the run."""
    n_past = np.array([t.n_past for t, typical in zip(stage.tokens, stage.typical.tolist(), strict=True) if typical])
    repeated = np.flatnonzero(np.diff(n_past) <= 0) + 1
    numbers = np.arange(len(n_past))
    if len(repeated) + 1 >= _FEW:
        return [piece for piece in np.split(numbers, repeated) if len(piece)]
    return [piece for piece in np.array_split(numbers, min(_PIECES, len(numbers))) if len(piece)]
