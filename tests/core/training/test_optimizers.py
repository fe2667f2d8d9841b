"""What a step is told: rates of optimizers, and the schedule; against PyTorch's own and the formulas written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import UsageError
from ggtui.core.graph.ops.optim import RATES
from ggtui.core.training.optimizers import OPTIMIZERS, AdamW, Optimizer, Schedule, Sgd

SAVED = np.load(Path(__file__).parents[2] / "references" / "gradients.npz")


def rates(optimizer: Optimizer, step: int, *, decays: bool = True, clip: float = 1.0) -> dict[str, float]:
    found = optimizer.rates(step, 0.01, decays=decays, clip=clip)
    assert found.dtype == np.float32
    return dict(zip(RATES, found.tolist(), strict=True))


def test_the_schedule_is_that_of_pytorch() -> None:
    """LinearLR for 5 steps, then CosineAnnealingLR for 15, down to a tenth."""
    found = [Schedule(1e-2, 20, 5).at(step) for step in range(1, 21)]
    assert found == pytest.approx(SAVED["adamw/rates"].tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        (Schedule(1.0, 100, 10), 1, 0.1),
        (Schedule(1.0, 100, 10), 10, 1.0),
        (Schedule(1.0, 110, 10, last=0.2), 60, 0.6),  # half way down a cosine is half way between its ends
        (Schedule(1.0, 100, 10), 100, 0.1),
        (Schedule(1.0, 100, 10), 5000, 0.1),
        (Schedule(1.0, 100), 1, 0.1 + 0.9 * (1 + np.cos(np.pi / 100)) / 2),
        (Schedule(1.0, 10, 10), 10, 1.0),
        (Schedule(1.0, 10, 20), 10, 0.5),
        (Schedule(1.0, 1, 1), 1, 1.0),
        (Schedule(0.5, 100, 0, last=1.0), 77, 0.5),
        (Schedule(0.0, 100, 10), 50, 0.0),
    ],
)
def test_rates_of_a_schedule(schedule: Schedule, step: int, rate: float) -> None:
    assert schedule.at(step) == pytest.approx(rate, rel=1e-12)


def test_a_schedule_rises_and_then_falls() -> None:
    found = [Schedule(1.0, 60, 7).at(step) for step in range(1, 70)]
    assert found[:7] == sorted(found[:7]) and found[6:60] == sorted(found[6:60], reverse=True)
    assert all(rate > 0 for rate in found)


def test_of_adamw_the_first_step_counts_fully() -> None:
    """What the means lack as they begin with zeros is made up for: 1 / (1 - beta^t), Kingma and Ba 2014."""
    found = rates(AdamW(0.9, 0.99, 1e-6, 0.5), 1)
    assert found["unbias1"] == pytest.approx(10.0) and found["unbias2"] == pytest.approx(100.0)
    named = {name: found[name] for name in ("rate", "beta1", "beta2", "eps", "clip")}
    assert named == pytest.approx({"rate": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "clip": 1.0})
    later = rates(AdamW(0.9, 0.99), 1_000_000)
    assert (later["unbias1"], later["unbias2"]) == (1.0, 1.0)


@pytest.mark.parametrize("optimizer", [AdamW(decay=0.5), Sgd(decay=0.5)])
def test_decay_goes_with_the_rate_and_is_of_matrices_alone(optimizer: Optimizer) -> None:
    assert rates(optimizer, 3)["decay"] == pytest.approx(0.005)
    assert rates(optimizer, 3, decays=False)["decay"] == 0


def test_of_sgd_the_momentum_is_told_and_nothing_of_adam() -> None:
    found = rates(Sgd(0.75), 1, clip=2.0)
    told = {name: value for name, value in found.items() if value}
    assert told == pytest.approx({"rate": 0.01, "beta1": 0.75, "clip": 2.0})


def test_each_says_what_it_keeps() -> None:
    assert {name: make().kept for name, make in OPTIMIZERS.items()} == {
        "adamw": ("mean", "square"),
        "sgd": ("momentum",),
    }


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: AdamW(beta1=1.0), "beta1 1.0: must be 0 to less than 1"),
        (lambda: AdamW(beta2=-0.1), "beta2 -0.1"),
        (lambda: AdamW(decay=-1), "decay -1"),
        (lambda: Sgd(momentum=float("nan")), "momentum nan"),
        (lambda: Sgd(decay=float("inf")), "decay inf"),
        (lambda: Schedule(float("nan"), 10), "rate nan"),
        (lambda: Schedule(-1e-3, 10), "rate -0.001"),
        (lambda: Schedule(1.0, 10, last=1.5), "last 1.5: must be 0 to 1"),
        (lambda: Schedule(1.0, 10, last=float("nan")), "last nan"),
        (lambda: Schedule(1.0, 0), "steps 0: must be a whole number of at least 1"),
        (lambda: Schedule(1.0, 2.5), "steps 2.5"),  # type: ignore[arg-type]
        (lambda: Schedule(1.0, 10, -1), "warm_up -1: must be a whole number of at least 0"),
        (lambda: Schedule(1e39, 10), r"rate 1e\+39: must be 0 to less than 1e\+06"),
        (lambda: Schedule("fast", 10), "rate fast"),  # type: ignore[arg-type]
        (lambda: AdamW(eps=0.0), "eps 0.0: must be 1e-30"),
        (lambda: AdamW(eps=float("nan")), "eps nan"),
        (lambda: AdamW(decay=10**400), "decay 1000"),
        (lambda: AdamW(decay=100.0).rates(1, 1e38, decays=False, clip=1.0), r"rate times decay 1e\+40"),
    ],
)
def test_numbers_out_of_range(make: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make()
