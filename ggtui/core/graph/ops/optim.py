"""Ops of optimizers: weights, and what is remembered of their gradients, moved by a step."""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.graph.ops.base import Op, need, need_f32, per_element, per_source_element, plain_traffic, result
from ggtui.core.graph.ops.in_numpy import optim as in_numpy
from ggtui.core.graph.tensor import Tensor

SQUARES = in_numpy.SQUARES
RATES = in_numpy.RATES


def sum_sqr(a: Tensor, into: Tensor | None = None) -> Tensor:
    """The sums of the squares of each SQUARES values of contiguous `a`: f32 (n / SQUARES, rounded up), written to
    `into` where that is given."""
    op = "sum_sqr"
    need_f32(op, a)
    need(a.is_contiguous, op, "needs contiguous data", a)
    ne = (-(-a.n_elements // SQUARES),)
    if into is not None:
        need(into.ne[0] == ne[0] and into.n_rows == 1, op, f"needs room for {ne[0]} sums", a, into)
    return result(op, ne, (a,), into=into, n_dims=1)


def _step(op: str, n_kept: int, state: Tensor, g: Tensor, rates: Tensor, squares: Tensor) -> Tensor:
    need_f32(op, state, g, rates, squares)
    kept = state.is_contiguous and g.is_contiguous and state.ne[1] == n_kept and state.ne[2] == state.ne[3] == 1
    need(kept and state.ne[0] == g.n_elements, op, f"needs {n_kept} rows of state a gradient", state, g)
    need(rates.ne[0] == len(RATES) and rates.is_contiguous, op, f"needs {len(RATES)} rates", rates)
    need(squares.n_elements == 1, op, "needs one sum of squares", squares)
    return result(op, state.ne, (state, g, rates, squares), into=state, in_place=(0,))


def opt_step_adamw(state: Tensor, g: Tensor, rates: Tensor, squares: Tensor) -> Tensor:
    """A step of AdamW (Loshchilov and Hutter 2017): `state` (n, 3) holds weights and the means of their gradients and
    of their squares; `g` n values; `rates` RATES; `squares` (1): the sum of squares of all gradients, which are
    shortened where they are longer than the rate "clip" says. The result is `state`'s memory."""
    return _step("opt_step_adamw", 3, state, g, rates, squares)


def opt_step_sgd(state: Tensor, g: Tensor, rates: Tensor, squares: Tensor) -> Tensor:
    """A step of gradient descent with momentum: `state` (n, 2) holds weights and the momentum; the others as of
    opt_step_adamw. The result is `state`'s memory."""
    return _step("opt_step_sgd", 2, state, g, rates, squares)


def _row(build: Callable[..., Tensor], flops: int) -> Op:
    return Op(build, "step", per_element(flops), plain_traffic, None, getattr(in_numpy, build.__name__))


OPTIM_OPS: tuple[Op, ...] = (
    Op(sum_sqr, "reduction", per_source_element(2), plain_traffic, None, in_numpy.sum_sqr),
    _row(opt_step_adamw, 5),
    _row(opt_step_sgd, 3),
)
