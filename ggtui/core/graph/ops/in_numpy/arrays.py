"""What every op in numpy takes and gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A tensor (ne0, ne1, ne2, ne3) is an array of shape (ne3, ne2, ne1, ne0), so the row is the last axis: float64 for
# every type that holds floats, int32 for i32.
Array = NDArray[Any]
Params = tuple[int | float, ...]  # an op's op_params, with the run's values in place of run-time sizes


def repeated(a: Array, shape: tuple[int, ...]) -> Array:
    """`a` over and over to `shape`, whose sizes are multiples of its own."""
    return np.tile(a, [large // max(small, 1) for large, small in zip(shape, a.shape, strict=True)])
