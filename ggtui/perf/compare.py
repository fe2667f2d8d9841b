"""One trace against another: which nodes became slower or faster, joined on their keys.

Traces are only compared where they should agree: the same machine, threads, instruction set, quantization and graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import RunInfo, Trace
from ggtui.perf import aggregate
from ggtui.perf.aggregate import Row, Stage

WHOLE = "the whole evaluation"
# A node that changed by less than this part of its stage's evaluation changed nothing that matters.
LEAST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Change:
    """Nanoseconds of one evaluation before and now, of a node or of the whole stage."""

    stage: str
    key: str
    base: float
    now: float

    @property
    def delta(self) -> float:
        return self.now - self.base

    @property
    def ratio(self) -> float:
        return self.now / self.base if self.base else float("inf") if self.now else 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """changes: the largest first. whole: the evaluations themselves. worse: what is beyond the gate, of both. `missing`
    and `new` are nodes that only one of the traces has."""

    whole: tuple[Change, ...]
    changes: tuple[Change, ...]
    worse: tuple[Change, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    measure: str


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
    old, new = ({s.name: s for s in aggregate.stages(t)} for t in (base, now))
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
    """Medians of each node (of light profiles means), the largest changes first.

    fail_above  a node is worse when it takes longer by more than this part of its time, and by more than LEAST_SHARE of
                its stage; None: nothing is
    Raises UsageError that names what differs where traces can't be compared, unless `force`.
    """
    if not force:
        refuse(differences(base, now))
    old_stages, now_stages = ({s.name: s for s in aggregate.stages(t)} for t in (base, now))
    light = any(s.light is not None for s in [*old_stages.values(), *now_stages.values()])
    whole, changes, missing, new = [], [], [], []
    for name in (s for s in aggregate.STAGES if s in old_stages and s in now_stages):
        both = old_stages[name], now_stages[name]
        old, fresh = ({r.key: _time(r, light) for r in aggregate.rows(s)} for s in both)
        missing += [f"{name} {key}" for key in old if key not in fresh]
        new += [f"{name} {key}" for key in fresh if key not in old]
        whole.append(Change(name, WHOLE, *(s.evals.median or 0.0 for s in both)))
        changes += [Change(name, key, old[key], fresh[key]) for key in old if key in fresh]
    least = {c.stage: LEAST_SHARE * c.base for c in whole}

    def beyond(c: Change) -> bool:
        return fail_above is not None and c.delta > least[c.stage] and c.ratio > 1 + fail_above

    changes.sort(key=lambda c: (not beyond(c), -abs(c.delta)))
    worse = tuple(c for c in [*whole, *changes] if beyond(c))
    measure = "mean" if light else "median"
    return Comparison(tuple(whole), tuple(changes), worse, tuple(missing), tuple(new), measure)


def _time(row: Row, light: bool) -> float:
    median = row.time.median
    return row.time.mean if light or median is None else median
