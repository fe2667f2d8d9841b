"""Ops that work value by value or row by row: arithmetic, activations, sums, norms."""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops.base import (
    I32,
    Op,
    can_repeat,
    need,
    need_f32,
    per_element,
    per_source_element,
    plain_traffic,
    result,
    same_shape,
)
from ggtui.core.graph.ops.in_numpy import elementwise as in_numpy
from ggtui.core.graph.tensor import Tensor

# Flops an element of the functions with an exponential: the convention of counting them as this many simple ones.
_EXP_FLOPS = 8


def _binary(name: str, what: str) -> Callable[..., Tensor]:
    def build(a: Tensor, b: Tensor, *, inplace: bool = False) -> Tensor:
        need_f32(name, a, b)
        need(can_repeat(b, a), name, "the second operand can't be repeated to the shape of the first", a, b)
        return result(name, a.ne, (a, b), into=a if inplace else None, in_place=(0, 1))

    build.__name__ = name
    build.__doc__ = f"{what}, f32; `b` is repeated to the shape of `a`. `inplace` writes into `a`'s memory."
    return build


def _unary(name: str, what: str) -> Callable[..., Tensor]:
    def build(a: Tensor, *, inplace: bool = False) -> Tensor:
        need_f32(name, a)
        return result(name, a.ne, (a,), into=a if inplace else None, in_place=(0,))

    build.__name__ = name
    build.__doc__ = f"{what}, value by value, f32. `inplace` writes into `a`'s memory."
    return build


add = _binary("add", "a + b")
sub = _binary("sub", "a - b")
mul = _binary("mul", "a * b, value by value")
div = _binary("div", "a / b")
sqr = _unary("sqr", "x * x")
sqrt = _unary("sqrt", "Square root")
neg = _unary("neg", "-x")
log = _unary("log", "Natural logarithm")
exp = _unary("exp", "e to the x")
relu = _unary("relu", "max(x, 0)")
tanh = _unary("tanh", "Hyperbolic tangent")
sigmoid = _unary("sigmoid", "1 / (1 + exp(-x))")
silu = _unary("silu", "x * sigmoid(x)")
gelu = _unary("gelu", "GELU in its tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))")
gelu_erf = _unary("gelu_erf", "GELU, x/2 (1 + erf(x / sqrt 2))")
gelu_quick = _unary("gelu_quick", "x * sigmoid(1.702 x)")


def scale(a: Tensor, s: float, b: float = 0.0, *, inplace: bool = False) -> Tensor:
    """s * a + b, f32."""
    need_f32("scale", a)
    return result("scale", a.ne, (a,), (float(s), float(b)), into=a if inplace else None, in_place=(0,))


def clamp(a: Tensor, low: float, high: float) -> Tensor:
    """min(max(a, low), high), f32."""
    need_f32("clamp", a)
    need(low <= high, "clamp", f"low {low} is above high {high}", a)
    return result("clamp", a.ne, (a,), (float(low), float(high)))


def _glu(name: str, act: str) -> Callable[..., Tensor]:
    def build(a: Tensor, gate: Tensor | None = None) -> Tensor:
        need_f32(name, a, gate)
        if gate is None:
            halves = a.ne[0] % 2 == 0 and not isinstance(a.ne[0], Dim)
            need(halves, name, "needs rows of even length, or a gate of its own", a)
            return result(name, (a.ne[0] // 2, *a.ne[1:]), (a,))
        need(same_shape(a, gate), name, "the gate has another shape", a, gate)
        return result(name, a.ne, (a, gate))

    build.__name__ = name
    build.__doc__ = f"{act}(a) * gate, f32; without a gate the second half of each row is the gate of the first."
    return build


swiglu = _glu("swiglu", "silu")
geglu = _glu("geglu", "gelu")


def sum(a: Tensor) -> Tensor:
    """The sum of all elements, one f32."""
    need_f32("sum", a)
    return result("sum", (1,), (a,), n_dims=1)


def sum_rows(a: Tensor) -> Tensor:
    """The sum of each row: (1, ne1, ne2, ne3)."""
    need_f32("sum_rows", a)
    return result("sum_rows", (1, *a.ne[1:]), (a,))


def mean(a: Tensor) -> Tensor:
    """The mean of each row: (1, ne1, ne2, ne3)."""
    need_f32("mean", a)
    need(a.ne[0] > 0, "mean", "an empty row has no mean", a)
    return result("mean", (1, *a.ne[1:]), (a,))


def argmax(a: Tensor) -> Tensor:
    """The index of the largest value of each row of a matrix, the first of equals: i32 (ne1)."""
    need_f32("argmax", a)
    need(a.ne[0] > 0 and a.ne[2] == a.ne[3] == 1, "argmax", "needs a matrix", a)
    return result("argmax", (a.ne[1],), (a,), type=I32, n_dims=1)


def _norm(name: str, formula: str, default: float) -> Callable[..., Tensor]:
    def build(a: Tensor, eps: float = default) -> Tensor:
        need_f32(name, a)
        need(eps >= 0, name, f"eps {eps} is negative", a)
        return result(name, a.ne, (a,), (float(eps),))

    build.__name__ = name
    build.__doc__ = f"{formula}, each row by itself, f32."
    return build


norm = _norm("norm", "Layer norm without weights, (x - mean) / sqrt(variance + eps)", 1e-5)
rms_norm = _norm("rms_norm", "x / sqrt(mean(x^2) + eps)", 1e-6)
l2_norm = _norm("l2_norm", "x / max(|x|, eps)", 1e-12)


def _rows(
    kind: str,
    flops: Callable[[Tensor], Cost],
    rowwise: tuple[int, ...] | None,
    *builders: Callable[..., Tensor],
    activation: str = "",
) -> list[Op]:
    return [
        Op(f, kind, flops, plain_traffic, rowwise, getattr(in_numpy, f.__name__), activation=activation)
        for f in builders
    ]


ELEMENTWISE_OPS = (
    *_rows("binary", per_element(1), (0, 1), add, sub, mul, div),
    *_rows("map", per_element(2), (0,), scale, clamp),
    *_rows("unary", per_element(1), (0,), sqr, sqrt, neg, log, relu),
    *_rows("unary", per_element(_EXP_FLOPS), (0,), exp, tanh, sigmoid, silu, gelu, gelu_erf, gelu_quick),
    *_rows("glu", per_element(_EXP_FLOPS + 2), (0, 1), swiglu, activation="silu"),
    *_rows("glu", per_element(_EXP_FLOPS + 2), (0, 1), geglu, activation="gelu"),
    *_rows("reduction", per_source_element(1), None, sum, argmax),
    *_rows("reduction", per_source_element(1), (0,), sum_rows, mean),
    *_rows("norm", per_element(7), (0,), norm),
    *_rows("norm", per_element(4), (0,), rms_norm),
    *_rows("norm", per_element(3), (0,), l2_norm),
)
