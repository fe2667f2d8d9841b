"""Optimizers, and how fast they learn as a training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from numbers import Real
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.graph import ops
from ggtui.core.graph.ops.optim import RATES
from ggtui.core.graph.tensor import Tensor
from ggtui.core.training.checks import check_number, check_whole

LEAST_EPS = 1e-30  # below it f32 may hold nothing, and the step of a weight without a gradient is 0 / 0


@runtime_checkable
class Optimizer(Protocol):
    """kept: what follows a tensor's weights in its state, by name. op: takes the step, see graph/ops/optim.py."""

    @property
    def kept(self) -> tuple[str, ...]: ...
    @property
    def op(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]: ...
    @property
    def decay(self) -> float: ...
    def rates(self, step: int, rate: float, *, decays: bool, clip: float) -> NDArray[np.float32]:
        """RATES of step `step`, the first one 1."""
        ...


def check_optimizer(optimizer: object) -> None:
    """Raise UsageError for what is none."""
    if isinstance(optimizer, type) or not isinstance(optimizer, Optimizer):
        raise UsageError(f"optimizer {optimizer!r}: must be one such as AdamW() or Sgd()")


def _rates(**values: float) -> NDArray[np.float32]:
    return np.array([values.get(name, 0.0) for name in RATES], np.float32)


def _decay(decay: float, rate: float, decays: bool) -> float:
    """What a step takes away of a weight."""
    check_number("rate times decay", rate * decay)
    return rate * decay if decays else 0.0


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2017)."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    decay: float = 0.1

    kept = ("mean", "square")
    op = staticmethod(ops.opt_step_adamw)

    def __post_init__(self) -> None:
        for name, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            check_number(name, value, high=1)
        check_number("eps", self.eps, LEAST_EPS)
        check_number("decay", self.decay)

    def rates(self, step: int, rate: float, *, decays: bool, clip: float) -> NDArray[np.float32]:
        return _rates(
            rate=rate, beta1=self.beta1, beta2=self.beta2, eps=self.eps, decay=_decay(self.decay, rate, decays),
            unbias1=1 / (1 - self.beta1**step), unbias2=1 / (1 - self.beta2**step), clip=clip,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sgd:
    """Gradient descent with momentum (Sutskever et al. 2013); 0 for none."""

    momentum: float = 0.9
    decay: float = 0.0

    kept = ("momentum",)
    op = staticmethod(ops.opt_step_sgd)

    def __post_init__(self) -> None:
        check_number("momentum", self.momentum, high=1)
        check_number("decay", self.decay)

    def rates(self, step: int, rate: float, *, decays: bool, clip: float) -> NDArray[np.float32]:
        return _rates(rate=rate, beta1=self.momentum, decay=_decay(self.decay, rate, decays), clip=clip)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adamw": AdamW, "sgd": Sgd}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of each step: it rises evenly for `warm_up` steps to `rate`, then falls along half a cosine to
    `last` of it at step `steps`, and stays so."""

    rate: float
    steps: int
    warm_up: int = 0
    last: float = 0.1

    def __post_init__(self) -> None:
        check_number("rate", self.rate, high=1e6)  # one that is higher teaches nothing
        if not isinstance(self.last, Real) or not 0 <= self.last <= 1:
            raise UsageError(f"last {self.last}: must be 0 to 1, of the rate")
        check_whole("steps", self.steps, 1)
        check_whole("warm_up", self.warm_up, 0)

    def at(self, step: int) -> float:
        """That of step `step`, the first one 1."""
        if step <= self.warm_up:
            return self.rate * step / self.warm_up
        done = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        return self.rate * (self.last + (1 - self.last) * (1 + cos(pi * done)) / 2)
