"""Intervals: against tables of Student's distribution, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.perf.intervals import CONFIDENCE, RUN_ERROR, Estimate, Interval, of_pairs, ratio, t_quantile

# As printed in tables of the distribution.
TABLE = [
    (0.975, 5, 2.571),
    (0.975, 9, 2.262),
    (0.999, 5, 5.893),
    (0.9995, 9, 4.781),
    (0.9995, 18, 3.922),
    (0.95, 30, 1.697),
]


@pytest.mark.parametrize(("p", "freedom", "t"), TABLE)
def test_quantiles_of_students_distribution(p: float, freedom: float, t: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(t, rel=0.01)


def runs(rng: np.random.Generator, mean: float, spread: float) -> Estimate:
    """Ten measurements of a run, which as a whole is off by RUN_ERROR."""
    run = mean * (1 + RUN_ERROR * rng.standard_normal())
    return Estimate.of((run * (1 + spread * rng.standard_normal(10))).tolist())


def test_an_interval_holds_the_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = [ratio(runs(rng, 100, 0.03), runs(rng, 110, 0.03)).has(1.1) for _ in range(2000)]
    assert np.mean(held) > CONFIDENCE - 0.01


def test_many_intervals_hold_together() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        found = [ratio(runs(rng, 1, 0.05), runs(rng, 1, 0.05), compared=40) for _ in range(40)]
        wrong += any(not interval.has(1) for interval in found)
    assert wrong <= 12


def test_of_one_measurement_nothing_is_known() -> None:
    alone = Estimate.of([5.0])
    assert ratio(alone, Estimate.of([50.0, 51.0])).has(1) and of_pairs([1.5]).has(1)
    assert ratio(Estimate.of([0.0, 0.0]), Estimate.of([0.0, 0.0])).has(1)


def test_an_error_beyond_all_measure_tells_nothing() -> None:
    anything = Interval(2.0, 0.0, float("inf"))
    assert ratio(Estimate(1.0, 1e12, 5.0), Estimate(2.0, 0.0, 5.0)) == anything
    assert ratio(Estimate(1.0, 0.0, 5.0), Estimate(2.0, 0.0, 5.0), run_error=1e12) == anything


def test_pairs() -> None:
    found = of_pairs([1.1, 1.12, 1.08, 1.11, 1.09, 3.0])
    assert found.value == pytest.approx(1.105) and found.low < 1.105 < found.high
    assert not of_pairs([1.1, 1.12, 1.08, 1.11, 1.09]).has(1)
    # As tables of the sign test have it: of 6 the least and the greatest, of 15 the fourth from either end.
    six, fifteen = of_pairs([1.0, 6.0, 2.0, 5.0, 3.0, 4.0]), of_pairs([float(n) for n in range(1, 16)])
    assert (six.low, six.high) == (1.0, 6.0) and (fifteen.low, fifteen.value, fifteen.high) == (4.0, 8.0, 12.0)


def test_the_interval_of_pairs_holds_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    for n in (6, 9, 15, 20):
        held = [of_pairs(np.exp(np.clip(rng.standard_t(2, n), -99, 99)).tolist()).has(1.0) for _ in range(2000)]
        assert np.mean(held) > CONFIDENCE - 0.01
