"""The rule of each op: what the gradient of its result is of its sources.

    def rule(t: Tensor, g: Tensor) -> Sequence[Contribution]

`t` is the result of the op, `g` its gradient, f32 in its sizes. A contribution, of one source each, is a gradient in
that source's sizes, a function that adds one to memory which it is given, or None: nothing comes back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ggtui.core.errors import ShapeError
from ggtui.core.graph.ops import attention, elementwise, gradients, shape
from ggtui.core.graph.ops.rope import ROPE_MODES, rope
from ggtui.core.graph.tensor import Tensor, describe
from ggtui.core.graph.types import TYPES

Contribution = Tensor | Callable[[Tensor], Tensor] | None
Rule = Callable[[Tensor, Tensor], Sequence[Contribution]]

_F32 = TYPES["f32"]


def _contiguous(t: Tensor) -> Tensor:
    return t if t.is_contiguous else shape.cont(t)


def _like(g: Tensor, source: Tensor) -> Tensor:
    """A gradient summed over where `source` was repeated."""
    return g if g.ne == source.ne else gradients.repeat_back(g, source)


def _source(t: Tensor, i: int = 0) -> Tensor:
    s = t.src[i]
    assert s is not None
    return s


# ---- views and moves ----
def _view(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    a = _source(t)
    first, second, third = (t.nb[i] if t.ne[i] > 1 else 0 for i in (1, 2, 3))  # of one nothing lies that far away
    nb, offset = (first, second, third), t.view_offs - a.view_offs
    if not a.is_contiguous:
        raise ShapeError(
            f"view: has no gradient where what it looks at has gaps; copy it first (ops.cont): {describe(a)}"
        )
    return [lambda total: gradients.acc(total, g, nb, offset)]


def _reshape(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    a = _source(t)
    return [shape.reshape(_contiguous(g), *a.ne[: a.n_dims])]


def _permute(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    back = [0] * 4
    for i, axis in enumerate(t.op_params):
        back[int(axis)] = i
    return [shape.permute(g, *back)]


def _concat(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    a, b = _source(t), _source(t, 1)
    dim = int(t.op_params[0])
    return [shape.view(g, s.ne, g.nb[1:], offset=first * g.nb[dim]) for s, first in ((a, 0), (b, a.ne[dim]))]


def _get_rows(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    rows = _source(t, 1)
    return [lambda total: gradients.add_rows(total, g, rows), None]


# ---- arithmetic ----
def _mul(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    a, b = _source(t), _source(t, 1)
    return [elementwise.mul(g, b), _like(elementwise.mul(g, a), b)]


def _div(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    b = _source(t, 1)
    return [elementwise.div(g, b), _like(elementwise.neg(elementwise.mul(g, elementwise.div(t, b))), b)]


def _tanh(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    return [elementwise.sub(g, elementwise.mul(g, elementwise.sqr(t)))]


def _sigmoid(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    return [elementwise.mul(g, elementwise.sub(t, elementwise.sqr(t)))]


def _slope(back: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    return lambda t, g: [back(g, _source(t))]


def _norm(back: Callable[[Tensor, Tensor, float], Tensor]) -> Rule:
    return lambda t, g: [back(g, _source(t), float(t.op_params[0]))]


def _glu(activation: Callable[[Tensor], Tensor], back: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    def rule(t: Tensor, g: Tensor) -> Sequence[Contribution]:
        a, *gates = [s for s in t.src if s is not None]
        if gates:
            return [back(elementwise.mul(g, gates[0]), a), elementwise.mul(g, activation(a))]
        size, ne = a.nb[0], (t.ne[0], *a.ne[1:])
        first, gate = (shape.view(a, ne, a.nb[1:], offset=i * t.ne[0] * size) for i in range(2))
        return [shape.concat(back(elementwise.mul(g, gate), first), elementwise.mul(g, activation(first)), 0)]

    return rule


# ---- products and attention ----
def _mul_mat(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    """With y = a . b: of b it is a turned . g, of a it is b . g turned, summed over the matrices that shared it."""
    a, b = _source(t), _source(t, 1)
    plain = a if a.type is _F32 and not a.packed else shape.cast(a, _F32)
    of_a = attention.mul_mat(shape.transpose(b), shape.transpose(g))  # (k, m, b2, b3)
    for axis in (2, 3):
        of_a = _summed_groups(of_a, axis, a.ne[axis])
    return [of_a, attention.mul_mat(shape.transpose(plain), g)]


def _summed_groups(t: Tensor, axis: int, n: int) -> Tensor:
    """Neighbours along dimension 2 or 3 added up, so that n are left."""
    if t.ne[axis] == n:
        return t
    k, m, n2, n3 = t.ne
    group = t.ne[axis] // n
    apart = (k * m, group, n, n3) if axis == 2 else (k * m * n2, group, n, 1)
    summed = gradients.repeat_back(shape.reshape(t, *apart), Tensor(_F32, (apart[0], 1, *apart[2:])))
    return shape.reshape(summed, k, m, n if axis == 2 else n2, n if axis == 3 else n3)


def _soft_max(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    if t.src[2] is not None:
        raise ShapeError(f"soft_max: sinks have no gradient; given {describe(t)}")
    return [gradients.soft_max_back(g, t, float(t.op_params[0])), None, None]


def _flash_attn_ext(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    q, k, v, mask, sinks = t.src
    assert q is not None and k is not None and v is not None
    if sinks is not None or k.type is not _F32 or k.packed:
        raise ShapeError(
            f"flash_attn_ext: sinks, and keys that are no plain f32, have no gradient; given {describe(k)}"
        )
    scale, max_bias, causal = t.op_params
    g = g if g.nb[0] == _F32.bytes else shape.cont(g)
    all_three = gradients.flash_attn_back(q, k, v, mask, g, float(scale), float(max_bias), bool(causal))
    parts: list[Contribution] = []
    first = 0
    for s in (q, k, v):
        flat = shape.view(all_three, (s.n_elements,), offset=first * _F32.bytes)
        parts.append(shape.reshape(flat, *s.ne[: s.n_dims]))
        first += s.n_elements
    return [*parts, None, None]


def _rope(t: Tensor, g: Tensor) -> Sequence[Contribution]:
    """Turned back: the transposed of a rotation is the rotation by the other angle."""
    modes = {number: name for name, number in ROPE_MODES.items()}
    n_dims, mode, base, scale, attn_factor, ext_factor, fast, slow, n_ctx_orig, *sections, inverse = t.op_params
    turned = rope(
        g,
        _source(t, 1),
        int(n_dims),
        modes[int(mode)],
        base,
        scale,
        t.src[2],
        attn_factor,
        ext_factor=ext_factor,
        beta_fast=fast,
        beta_slow=slow,
        n_ctx_orig=int(n_ctx_orig),
        sections=[int(n) for n in sections] if any(sections) else (),
        inverse=not inverse,
    )
    return [turned, None, None]


BACKWARD: dict[str, Rule] = {
    "view": _view,
    "reshape": _reshape,
    "permute": _permute,
    "transpose": lambda t, g: [shape.transpose(g)],
    "dup": lambda t, g: [g],
    "cont": lambda t, g: [g],
    "concat": _concat,
    "repeat": lambda t, g: [gradients.repeat_back(g, _source(t))],
    "get_rows": _get_rows,
    "add": lambda t, g: [g, _like(g, _source(t, 1))],
    "sub": lambda t, g: [g, _like(elementwise.neg(g), _source(t, 1))],
    "mul": _mul,
    "div": _div,
    "scale": lambda t, g: [elementwise.scale(g, float(t.op_params[0]))],
    "clamp": lambda t, g: [gradients.clamp_back(g, _source(t), float(t.op_params[0]), float(t.op_params[1]))],
    "sqr": lambda t, g: [elementwise.mul(g, elementwise.scale(_source(t), 2.0))],
    "sqrt": lambda t, g: [elementwise.div(elementwise.scale(g, 0.5), t)],
    "neg": lambda t, g: [elementwise.neg(g)],
    "log": lambda t, g: [elementwise.div(g, _source(t))],
    "exp": lambda t, g: [elementwise.mul(g, t)],
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "relu": _slope(gradients.relu_back),
    "silu": _slope(gradients.silu_back),
    "gelu": _slope(gradients.gelu_back),
    "gelu_erf": _slope(gradients.gelu_erf_back),
    "gelu_quick": _slope(gradients.gelu_quick_back),
    "swiglu": _glu(elementwise.silu, gradients.silu_back),
    "geglu": _glu(elementwise.gelu, gradients.gelu_back),
    "sum": lambda t, g: [shape.repeat(g, _source(t))],
    "sum_rows": lambda t, g: [shape.repeat(g, _source(t))],
    "mean": lambda t, g: [shape.repeat(elementwise.scale(g, 1 / int(_source(t).ne[0])), _source(t))],
    "norm": _norm(gradients.norm_back),
    "rms_norm": _norm(gradients.rms_norm_back),
    "l2_norm": _norm(gradients.l2_norm_back),
    "rope": _rope,
    "mul_mat": _mul_mat,
    "diag_mask_inf": lambda t, g: [gradients.diag_mask_zero(g, int(t.op_params[0]))],
    "soft_max": _soft_max,
    "flash_attn_ext": _flash_attn_ext,
    "cross_entropy": lambda t, g: [gradients.cross_entropy_back(_contiguous(g), _source(t), _source(t, 1)), None],
}
