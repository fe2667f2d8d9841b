"""Ops that write into memory that they read: refused unless it is the same view, element by element."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import ShapeError
from ggtui.core.graph.alias import overlap, shows_twice
from ggtui.core.graph.dim import Dim


def square(n: int = 8, type: str = "f32") -> Tensor:
    return Context().tensor(np.arange(n * n, dtype=np.float32).reshape(n, n), "x", type)


def rows(x: Tensor, first: int, n: int) -> Tensor:
    return ops.view(x, (x.ne[0], n), offset=first * x.nb[1])


def columns(x: Tensor, first: int, n: int) -> Tensor:
    return ops.view(x, (n, x.ne[1]), (x.nb[1],), offset=first * x.nb[0])


def test_overlap_is_exact() -> None:
    x = square()
    assert overlap(x, x) and overlap(x, ops.transpose(x))
    assert not overlap(rows(x, 0, 4), rows(x, 4, 4)) and overlap(rows(x, 0, 5), rows(x, 4, 4))
    assert not overlap(columns(x, 0, 4), columns(x, 4, 4)) and overlap(columns(x, 0, 5), columns(x, 4, 4))
    even, odd = (ops.view(x, (8, 4), (2 * x.nb[1],), offset=i * x.nb[1]) for i in (0, 1))
    assert not overlap(even, odd) and overlap(even, columns(x, 7, 1))
    assert not overlap(x, square())
    q = square(64, "q8_0")
    assert not overlap(rows(q, 0, 3), rows(q, 3, 3)) and overlap(rows(q, 0, 4), rows(q, 3, 3))
    assert not overlap(ops.view(x, (0, 8)), x)


def test_run_time_sizes_count_as_their_largest() -> None:
    x = square()
    part = ops.view(x, (8, Dim("n", 5)))
    assert overlap(part, rows(x, 4, 4)) and not overlap(part, rows(x, 5, 3))


def test_views_that_show_elements_twice() -> None:
    x = square()
    assert not shows_twice(x) and not shows_twice(ops.transpose(x)) and not shows_twice(ops.permute(x, 2, 0, 1, 3))
    assert shows_twice(ops.view(x, (8, 4), (0,))) and shows_twice(ops.view(x, (8, 4), (16,)))
    assert not shows_twice(ops.view(x, (8, 1), (0,)))


REFUSED = {
    "in place on its transpose": lambda x: ops.add(x, ops.transpose(x), inplace=True),
    "in place on other rows": lambda x: ops.add(rows(x, 0, 4), rows(x, 2, 4), inplace=True),
    "in place on a row of its own": lambda x: ops.mul(x, rows(x, 3, 1), inplace=True),
    "a copy to its transpose": lambda x: ops.cpy(ops.transpose(x), x),
    "a copy that is moved by a row": lambda x: ops.cpy(rows(x, 0, 7), rows(x, 1, 7)),
    "a copy to one place": lambda x: ops.cpy(square(), ops.view(x, (8, 8), (0,))),
    "a copy to places that overlap": lambda x: ops.cpy(square(), ops.view(x, (8, 8), (16, 128))),
    "rows of its own": lambda x: ops.set_rows(x, rows(x, 0, 2), Context().tensor(np.array([5, 6]))),
    "in place to one place": lambda x: ops.scale(ops.view(x, (8, 8), (0,)), 2.0, inplace=True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_hang_on_who_comes_first_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=r"would overwrite what it reads|shows elements more than once") as raised:
        REFUSED[name](square())
    assert "\n" not in str(raised.value)


def test_indices_may_not_lie_in_what_is_written() -> None:
    x = Context().new_tensor("i32", (4, 4))
    with pytest.raises(ShapeError, match="would overwrite"):
        ops.set_rows(x, Context().new_tensor("f32", (4, 2)), ops.view(x, (2,)))


ALLOWED = {
    "twice itself": (lambda x: ops.add(x, x, inplace=True), lambda x: x + x),
    "other rows": (lambda x: ops.add(rows(x, 0, 4), rows(x, 4, 4), inplace=True), lambda x: x[:4] + x[4:]),
    "other columns": (
        lambda x: ops.mul(columns(x, 0, 4), columns(x, 4, 4), inplace=True),
        lambda x: x[:, :4] * x[:, 4:],
    ),
    "to itself": (lambda x: ops.cpy(x, x), lambda x: x),
    "of a copy": (lambda x: ops.add(x, ops.cont(ops.transpose(x)), inplace=True), lambda x: x + x.T),
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_what_needs_only_its_own_place_is_allowed(name: str, threads: int) -> None:
    build, want = ALLOWED[name]
    x = square()
    before = x.numpy().copy()
    y = build(x)
    g = Graph()
    g.build_forward_expand(y)
    g.compute(threads=threads)
    np.testing.assert_array_equal(y.numpy(), want(before))


def test_what_was_written_before_comes_before() -> None:
    """A write into a view of what another op has written."""
    x, ctx = square(), Context()
    first = ops.set_rows(x, ctx.tensor(np.full((1, 8), -1, np.float32)), ctx.tensor(np.array([0])))
    second = ops.set_rows(first, ctx.tensor(np.full((1, 8), -2, np.float32)), ctx.tensor(np.array([1])))
    g = Graph()
    g.build_forward_expand(second)
    assert [node.op for node in g.dag().nodes] == ["set_rows", "set_rows"]
    for threads in (1, 3):
        g.compute(threads=threads)
        assert second.numpy()[:2].tolist() == [[-1] * 8, [-2] * 8]
    y = square()
    halved = ops.scale(y, 0.5, inplace=True)
    copied = ops.cpy(square(), ops.view(halved, (8, 8)))
    g = Graph()
    g.build_forward_expand(copied)
    assert [node.op for node in g.dag().nodes] == ["scale", "cpy"]


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("packed", [False, True])
def test_of_rows_with_the_same_index_the_last_wins(type: str, packed: bool) -> None:
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 5, 300)
    values = rng.integers(-9, 9, (2, 300, 64)).astype(np.float32)
    wanted = np.zeros((2, 40, 64), np.float32)
    for i, row in enumerate(indices):
        wanted[:, row] = values[:, i]
    for threads in (1, 2, 3, 7, 16):
        ctx = Context()
        table = ctx.new_tensor(type, (64, 40, 2), packed=packed)
        g = Graph()
        y = ops.set_rows(table, ctx.tensor(values), ctx.tensor(indices))
        g.build_forward_expand(y)
        for _ in range(5):
            g.compute(threads=threads)
            np.testing.assert_allclose(y.numpy(), wanted, atol=0.05 if type == "q8_0" else 0)
