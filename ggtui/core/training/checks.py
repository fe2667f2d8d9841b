"""What a training is given, checked."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.runtime.room import free_memory

F32_MAX = float(np.finfo(np.float32).max)


def check_number(name: str, value: Any, low: float = 0.0, high: float = F32_MAX) -> None:
    """Raise UsageError for what is no number from `low` to less than `high`."""
    number: Any = value if isinstance(value, Real) else None
    if number is None or not low <= number < high:
        raise UsageError(f"{name} {value}: must be {low:g} to less than {high:g}")


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise UsageError for what is no whole number of at least `low` and at most `high`."""
    number: Any = value if isinstance(value, Integral) else None
    if number is None or number < low or (high is not None and number > high):
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} {value}: must be a whole number {bounds}")


def check_weights(where: object, n_params: int, n_kept: int, less: str, base: int = 0) -> None:
    """As `check_room` of so many weights that learn, their gradients and what an optimizer keeps of each, with `base`
    bytes of what does not learn."""
    check_room(base + 4 * n_params * (2 + n_kept), f"{where}: weights, gradients and the optimizer", less)


def check_room(need: int, what: str, less: str) -> None:
    """Raise GgtuiError where so many bytes are not free. `what`, in the plural, takes them; `less` would take fewer."""
    free = free_memory()
    if free is not None and need > free:
        raise GgtuiError(f"{what} take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; take {less}")
