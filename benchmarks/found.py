"""How benchmarks say what they found: medians and where they may be, and that the machine was busy meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isinf

from ggtui.core.runtime.busy import Watch
from ggtui.perf.intervals import CONFIDENCE, of_pairs
from ggtui.perf.words import used_by_others

MEANING = f"medians, in brackets their {CONFIDENCE:.0%} intervals; ~: the interval has 1"
Form = Callable[[float], str]


def two_places(value: float) -> str:
    return f"{value:.2f}"


def percent(value: float) -> str:
    return f"{value:.0%}"


def change(ratio: float) -> str:
    return f"{ratio - 1:+.1%}"


def shown(values: Sequence[float], form: Form) -> str:
    """The median of independent figures over 0, each a ratio to its unit, and its interval."""
    found = of_pairs(values)
    where = "measured once" if isinf(found.high) else f"{form(found.low)} to {form(found.high)}"
    return f"{form(found.value)} ({where})"


def ratio(ratios: Sequence[float], form: Form = two_places) -> str:
    """The same of ratios that were measured in turns; with ~ where it may be that there is no difference."""
    return f"{'~' * of_pairs(ratios).has(1.0)}{shown(ratios, form)}"


def by_round(now: Sequence[float], base: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(now, base, strict=True)]


@contextmanager
def watched() -> Iterator[None]:
    """Says afterwards on stderr where others used much of the cores: what this process and those that it started and
    waited for did not."""
    watch = Watch()
    yield
    busy = watch.busy
    if said := used_by_others((busy.others, busy.stolen)):
        print(f"{said}; these figures are those of this moment", file=sys.stderr)
