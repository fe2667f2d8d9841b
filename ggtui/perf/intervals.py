"""Intervals for what was measured several times, and for ratios of two of them: by Student's and Welch's t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, exp, log, sqrt
from statistics import NormalDist, fmean, median, stdev

CONFIDENCE = 0.95
# Two runs of the same program differ by about this part (a standard deviation) beyond what each of them shows of
# itself: where its pages lie, which of the caches' sets they fall into (the less, the more often it was loaded anew),
# and, of times alone, the machine's pace.
RUN_ERROR = 0.015
PACE_ERROR = 0.04
BUSY_ERROR = 0.05  # times the part of the cores that other programs use; of a whole evaluation, in which threads wait
BUSY_WHOLE_ERROR = 0.3  # for each other's turns, so many times
_DEVIATION = 1.4826  # of a normal distribution, over how far half of it is from the middle
_ANYTHING = 100.0  # as a ratio's logarithm, more than tells anything
_OF_MEDIAN = 1.2533  # the error of a median over that of a mean, for many values


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may be: from low to high, with CONFIDENCE."""

    value: float
    low: float
    high: float

    def has(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """A typical value, its standard error as a part of it, and the degrees of freedom of that error."""

    value: float
    error: float
    freedom: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Of independent measurements: their median, which some that were disturbed do not move, and its error by how
        far half of them are from it. Of a single one the error is not known: infinite."""
        value = median(values)
        if len(values) < 2 or not value:
            return cls(value, float("inf"), 1.0)
        deviation = _DEVIATION * median(abs(v - value) for v in values)
        return cls(value, _OF_MEDIAN * deviation / sqrt(len(values)) / value, len(values) - 1.0)


def t_quantile(p: float, freedom: float) -> float:
    """Of Student's distribution, by Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5): within 1% from 5
    degrees of freedom on, for p up to 0.9995."""
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms)))


def ratio(base: Estimate, now: Estimate, compared: int = 1, run_error: float = RUN_ERROR) -> Interval:
    """now / base, of two runs. `compared`: how many ratios are looked at together, so that with CONFIDENCE all of their
    intervals hold (Bonferroni). `run_error`: by how much runs differ in themselves."""
    if not base.value or not now.value:
        equal = base.value == now.value
        return Interval(1.0 if equal else float("inf"), 0.0, float("inf"))
    value = now.value / base.value
    squares = [e.error**2 + run_error**2 for e in (base, now)]
    error = sqrt(sum(squares))
    if error == float("inf"):
        return Interval(value, 0.0, error)
    freedom = sum(squares) ** 2 / sum(s**2 / max(e.freedom, 1.0) for s, e in zip(squares, (base, now), strict=True))
    wide = t_quantile(1 - (1 - CONFIDENCE) / 2 / compared, max(freedom, 2.0)) * error
    if wide > _ANYTHING:
        return Interval(value, 0.0, float("inf"))
    return Interval(value, value * exp(-wide), value * exp(wide))


def of_pairs(ratios: Sequence[float]) -> Interval:
    """The median of ratios that were measured in turns, and its interval by the sign test: between two of them, so that
    the median of all there could be is outside as rarely as half of so many coins would all fall so. Of fewer than six
    there is no such interval: Student's of their logarithms' mean, as wide as takes the median in."""
    value, n = median(ratios), len(ratios)
    if n < 2:
        return Interval(value, 0.0, float("inf"))
    below = 0.0  # the chance that at most k of n are below the median
    for k in range(n // 2):
        below += comb(n, k) / 2**n
        if below > (1 - CONFIDENCE) / 2:
            break
    else:
        k = n // 2
    if k:
        ordered = sorted(ratios)
        return Interval(value, ordered[k - 1], ordered[n - k])
    logs = [log(r) for r in ratios]
    wide = t_quantile(1 - (1 - CONFIDENCE) / 2, max(n - 1.0, 2.0)) * stdev(logs) / sqrt(n)
    return Interval(value, min(exp(fmean(logs) - wide), value), max(exp(fmean(logs) + wide), value))
