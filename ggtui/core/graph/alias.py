"""Which tensors share memory, and whether an op may write into memory that it reads.

It may where what is written and what is read are the same view, and each element needs only the one at its own place:
then it is of no matter how threads share the work. In every other case the result would hang on who comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ShapeError
from ggtui.core.graph.tensor import Tensor, describe

_WORK = 1_000_000  # how long the exact answer may be looked for: some milliseconds


def same_view(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors show the same memory, element by element."""
    return (a.root, a.view_offs, a.type, a.ne, a.nb) == (b.root, b.view_offs, b.type, b.ne, b.nb)


def overlap(a: Tensor, b: Tensor) -> bool:
    """Whether any byte belongs to both; also where that is too hard to say."""
    if a.root is not b.root or 0 in a.ne or 0 in b.ne:
        return False
    try:
        return np.shares_memory(_shadow(a), _shadow(b), max_work=_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def shows_twice(t: Tensor) -> bool:
    """Whether it may show an element at more than one place, as a view with a stride of 0 does."""
    if 0 in t.ne:
        return False
    end = t.type.row_bytes(t.ne[0]) if t.type.whole_rows else t.type.bytes
    strides = zip(t.nb[1:], t.ne[1:], strict=True) if t.type.whole_rows else zip(t.nb, t.ne, strict=True)
    for nb, ne in sorted((nb, int(ne)) for nb, ne in strides if ne > 1):
        if nb < end:
            return True
        end += nb * (ne - 1)
    return False


def check_writes(op: str, into: Tensor, src: Sequence[Tensor | None], in_place: Sequence[int]) -> None:
    """Raise ShapeError unless `op` may write into `into` while it reads `src`; `in_place` are the sources of which it
    needs, for an element of the result, only the element at the same place."""
    if shows_twice(into):
        raise ShapeError(f"{op}: writes into {describe(into)}, which shows elements more than once")
    for i, s in enumerate(src):
        if s is not None and overlap(into, s) and not (i in in_place and same_view(into, s)):
            raise ShapeError(
                f"{op}: would overwrite what it reads: {describe(into)} and source {i}, {describe(s)}, share memory, "
                "but are not the same view; copy the source first (ops.cont)"
            )


class _Places:
    """What numpy takes for an array."""

    def __init__(self, first: int, item: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.__array_interface__ = {
            "data": (first, False), "typestr": f"|V{item}", "shape": shape, "strides": strides, "version": 3,
        }  # fmt: skip


def _shadow(t: Tensor) -> NDArray[np.void]:
    """An array of the same places, relative to the root; nothing of it is there to be read."""
    if t.packed:  # rows lie in tiles: all of them
        shape, strides, item = [t.n_bytes], [1], 1
    elif t.type.whole_rows:
        shape, strides, item = [*map(int, t.ne[1:])], [*t.nb[1:]], t.type.row_bytes(t.ne[0])
    else:
        shape, strides, item = [*map(int, t.ne)], [*t.nb], t.type.bytes
    first = 1 << 20  # no address is 0
    return np.asarray(_Places(first + t.view_offs, item, tuple(shape), tuple(strides)))
