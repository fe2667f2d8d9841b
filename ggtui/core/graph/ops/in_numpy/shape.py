"""Ops that move data, in numpy."""

from __future__ import annotations

import numpy as np

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops.in_numpy.arrays import Array, Params, repeated


def dup(params: Params, a: Array) -> Array:
    """The same values without gaps, in the result's type.

    (n0, n1, n2, n3) -> the same
    """
    return a


def cpy(params: Params, before: Array, a: Array) -> Array:
    """The values of a in the order of its rows, in the destination's sizes; nothing of what it held stays.

    a (n0, n1, n2, n3) -> (m0, m1, m2, m3), as many values
    """
    return a.reshape(before.shape)


def repeat(params: Params, before: Array, a: Array) -> Array:
    """a over and over to the sizes of the result; what its memory held does not matter.

    a (m0, m1, m2, m3) -> (n0, n1, n2, n3); each m divides its n
    """
    return repeated(a, before.shape)


def concat(params: Params, a: Array, b: Array) -> Array:
    """a and then b along dimension dim.

    for dim 0: (n0, n1, n2, n3), (m0, n1, n2, n3) -> (n0 + m0, n1, n2, n3)
    """
    (dim,) = params
    return np.concatenate([a, b], axis=3 - int(dim))


def get_rows(params: Params, a: Array, rows: Array) -> Array:
    """Rows of a by index. Raises GgtuiError for an index out of range.

    (n0, n, b1, b2), i32 (m, b1, b2) -> (n0, m, b1, b2)
    """
    _check_rows("get_rows", rows, a.shape[2])
    _, b2, b1, m = rows.shape
    result = np.empty((b2, b1, m, a.shape[3]), a.dtype)
    for i3, i2, i1 in np.ndindex(b2, b1, m):
        result[i3, i2, i1] = a[i3, i2, rows[0, i3, i2, i1]]
    return result


def set_rows(params: Params, before: Array, b: Array, rows: Array) -> Array:
    """`before` with the rows of b written at their indices one after the other: of equal ones the last wins. Raises
    GgtuiError for an index out of range.

    before (n0, n, n2, n3), b (n0, m, n2, n3), i32 (m, c1, c2) -> (n0, n, n2, n3); c1 divides n2, c2 n3
    """
    _check_rows("set_rows", rows, before.shape[2])
    result = before.copy()
    _, c2, c1, _ = rows.shape
    for i3, i2, i1 in np.ndindex(b.shape[:3]):
        result[i3, i2, rows[0, i3 % c2, i2 % c1, i1]] = b[i3, i2, i1]
    return result


def _check_rows(op: str, rows: Array, n: int) -> None:
    bad = rows[(rows < 0) | (rows >= n)]
    if bad.size:
        raise GgtuiError(f"{op}: row {bad[0]} of {n} is out of range")
