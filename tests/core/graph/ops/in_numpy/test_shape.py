"""Ops that move data, one row or number at a time."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array


def counted(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def test_copies() -> None:
    a = counted(2, 3, 4, 6)
    assert np.array_equal(OPS["dup"].reference((), a), a) and np.array_equal(OPS["cont"].reference((), a), a)
    into = OPS["cpy"].reference((), np.zeros((1, 2, 9, 8)), a)
    assert into.shape == (1, 2, 9, 8) and into.ravel().tolist() == list(range(144))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 6), (1, 3, 2, 3)])
def test_repeat(shape: tuple[int, ...]) -> None:
    a, before = counted(*shape), np.full((2, 3, 4, 6), np.nan)
    got = OPS["repeat"].reference((), before, a)
    assert got.shape == before.shape
    for at in np.ndindex(got.shape):
        assert got[at] == a[tuple(i % n for i, n in zip(at, shape, strict=True))]


@pytest.mark.parametrize("dim", range(4))
def test_concat(dim: int) -> None:
    axis = 3 - dim
    a, b = counted(2, 3, 4, 5), -counted(2, 3, 4, 5)
    got = OPS["concat"].reference((dim,), a, b)
    first, second = np.split(got, 2, axis)
    assert np.array_equal(first, a) and np.array_equal(second, b)


def test_get_rows() -> None:
    rng = np.random.default_rng(0)
    a, rows = counted(3, 2, 7, 5), rng.integers(0, 7, (1, 3, 2, 4)).astype(np.int32)
    got = OPS["get_rows"].reference((), a, rows)
    assert np.array_equal(got, np.take_along_axis(a, rows[0][..., None], axis=2))


def test_set_rows() -> None:
    before, b = counted(2, 4, 5, 3), -1 - counted(2, 4, 2, 3)
    rows = np.array([[[[4, 0], [1, 2]]]], np.int32)  # two lists, shared by dimensions 2 and 3
    got = OPS["set_rows"].reference((), before, b, rows)
    for i3, i2, i1 in np.ndindex(2, 4, 5):
        chosen = rows[0, 0, i2 % 2].tolist()
        want = b[i3, i2, chosen.index(i1)] if i1 in chosen else before[i3, i2, i1]
        assert got[i3, i2, i1].tolist() == want.tolist()
    assert before[0, 0, 4].tolist() == [12, 13, 14], "what was given stays"


def test_of_equal_indices_the_last_wins() -> None:
    rows = np.array([[[[1, 0, 1, 1]]]], np.int32)
    got = OPS["set_rows"].reference((), np.zeros((1, 1, 3, 1)), np.array([[[[1.0], [2], [3], [4]]]]), rows)
    assert got.ravel().tolist() == [2, 4, 0]


@pytest.mark.parametrize("bad", [-1, 5, 2**31 - 1])
def test_an_index_out_of_range(bad: int) -> None:
    a, b, rows = counted(1, 1, 5, 3), counted(1, 1, 2, 3), np.array([[[[0, bad]]]], np.int32)
    with pytest.raises(GgtuiError, match=f"get_rows: row {bad} of 5 is out of range"):
        OPS["get_rows"].reference((), a, rows)
    with pytest.raises(GgtuiError, match=f"set_rows: row {bad} of 5 is out of range"):
        OPS["set_rows"].reference((), a, b, rows)
