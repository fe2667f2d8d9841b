"""Reads every weight of a model file and finds those that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np

from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.runtime.cpu.codec import decode_rows

_CHUNK = 1 << 18  # weights decoded at a time


class BadBlock(NamedTuple):
    """The first block of a tensor with a weight that is NaN or infinite; a scale that is makes its weights so.

    `block` counts through the whole tensor; the weight is element `i` of row `row`.
    """

    tensor: str
    type: str
    block: int
    row: int
    i: int
    value: float


def bad_blocks(file: ModelFile, progress: Callable[[int, int], None] | None = None) -> list[BadBlock]:
    """The first bad block of each tensor that has one. `progress` gets the number of weights read and of all."""
    total, done, found = sum(prod(info.ne) for info in file.tensors.values()), 0, []
    for info in file.tensors.values():
        bad = None if info.type.name == "i32" else _first_bad(file, info)
        if bad is not None:
            found.append(bad)
        done += prod(info.ne)
        if progress is not None:
            progress(done, total)
    return found


def _first_bad(file: ModelFile, info: TensorInfo) -> BadBlock | None:
    n_rows, ne0 = prod(info.ne[1:]), info.ne[0]
    rows, step = file.rows(info.name), max(1, _CHUNK // ne0)
    for start in range(0, n_rows, step):
        x = decode_rows(info.type, rows[start : start + step])
        # The least and the greatest are NaN if any weight is.
        if np.isfinite([x.min(), x.max()]).all():
            continue
        row, i = divmod(int(np.argmin(np.isfinite(x))), ne0)
        value = float(x[row, i])
        row += start
        block = row * (ne0 // info.type.block) + i // info.type.block
        return BadBlock(info.name, info.type.name, block, row, i, value)
    return None
