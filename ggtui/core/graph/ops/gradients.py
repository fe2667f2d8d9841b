"""Ops that gradients are made of: what comes back through an op, and how the gradients of one tensor are added up; and
cross entropy, where most of them begin."""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.graph.alias import shows_twice
from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops.attention import F16, F32, mask_covers
from ggtui.core.graph.ops.base import (
    I32,
    Op,
    Sources,
    bytes_of,
    can_repeat,
    count,
    fits_times,
    need,
    need_f32,
    no_flops,
    per_element,
    per_source_element,
    plain_traffic,
    result,
    rows_like,
    same_shape,
    whole,
)
from ggtui.core.graph.ops.in_numpy import gradients as in_numpy
from ggtui.core.graph.tensor import Tensor

_EXP_FLOPS = 8


def fill(like: Tensor, value: float) -> Tensor:
    """`value` everywhere, f32, in the sizes of `like`."""
    return result("fill", like.ne, (), (float(value),), n_dims=like.n_dims)


def after(a: Tensor, b: Tensor) -> Tensor:
    """A copy of f32 `a` that is made when `b` is there: what is computed of it comes later than that."""
    need_f32("after", a)
    return result("after", a.ne, (a, b), n_dims=a.n_dims)


def acc(a: Tensor, b: Tensor, nb: tuple[int, int, int], offset: int = 0) -> Tensor:
    """`a` with `b` added to that part of it which begins at byte `offset` and has the sizes of `b` and the strides
    `nb`, in bytes, of dimensions 1 to 3. The result is `a`'s memory. Raises ShapeError for a part that shows an element
    twice, or reaches past `a`."""
    op = "acc"
    need_f32(op, a, b)
    need(a.is_contiguous, op, "needs contiguous data to add to", a)
    part = Tensor.of_op("view", a.type, b.ne, (a,), nb=(a.nb[0], *nb), view_src=a, view_offs=offset, n_dims=b.n_dims)
    need(not shows_twice(part), op, "the part shows elements more than once", a, b)
    params = tuple(whole(op, "a stride or offset", n) for n in (*nb, offset))
    return result(op, a.ne, (a, b), params, into=a, in_place=(0,))


def add_rows(a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    """`a` (ne0, n, b1, b2) with the rows of `b` (ne0, m, b1, b2) added at the i32 indices `rows` (m, b1, b2), one after
    the other. The result is `a`'s memory."""
    op = "add_rows"
    need_f32(op, a, b)
    need(rows.type is I32, op, "indices must be i32", a, rows)
    need(all(same_dim(a.ne[i], b.ne[i]) for i in (0, 2, 3)), op, "only the number of rows may differ", a, b)
    need(all(same_dim(rows.ne[i], b.ne[i + 1]) for i in range(3)), op, "needs an index a row", b, rows)
    return result(op, a.ne, (a, b, rows), into=a, in_place=(0,))


def repeat_back(g: Tensor, like: Tensor) -> Tensor:
    """The sum of all that stands in `g` where a repeated `like` would: f32, in the sizes of `like`."""
    need_f32("repeat_back", g)
    need(can_repeat(like, g), "repeat_back", "the first shape is no multiple of the second", g, like)
    return result("repeat_back", like.ne, (g,), n_dims=like.n_dims)


def _back(name: str, what: str) -> Callable[..., Tensor]:
    def build(g: Tensor, x: Tensor) -> Tensor:
        need_f32(name, g, x)
        need(same_shape(g, x), name, "sizes differ", g, x)
        return result(name, g.ne, (g, x))

    build.__name__ = name
    build.__doc__ = f"g times the slope of {what} at x, value by value, f32."
    return build


relu_back = _back("relu_back", "relu")
silu_back = _back("silu_back", "silu")
gelu_back = _back("gelu_back", "gelu")
gelu_erf_back = _back("gelu_erf_back", "gelu_erf")
gelu_quick_back = _back("gelu_quick_back", "gelu_quick")


def clamp_back(g: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """g where low <= x <= high, else 0; f32."""
    need_f32("clamp_back", g, x)
    need(same_shape(g, x), "clamp_back", "sizes differ", g, x)
    return result("clamp_back", g.ne, (g, x), (float(low), float(high)))


def _norm_back(name: str) -> Callable[..., Tensor]:
    def build(g: Tensor, x: Tensor, eps: float) -> Tensor:
        need_f32(name, g, x)
        need(same_shape(g, x), name, "sizes differ", g, x)
        need(eps >= 0, name, f"eps {eps} is negative", g)
        return result(name, g.ne, (g, x), (float(eps),))

    build.__name__ = name
    build.__doc__ = f"What g, the gradient of a normed row, is of the row x before {name.removesuffix('_back')}; f32."
    return build


norm_back = _norm_back("norm_back")
rms_norm_back = _norm_back("rms_norm_back")
l2_norm_back = _norm_back("l2_norm_back")


def soft_max_back(g: Tensor, p: Tensor, scale: float = 1.0) -> Tensor:
    """scale * p * (g - sum(g * p)) of each row, with `p` what soft_max made: the gradient of what it was made of."""
    need_f32("soft_max_back", g, p)
    need(same_shape(g, p), "soft_max_back", "sizes differ", g, p)
    return result("soft_max_back", g.ne, (g, p), (float(scale),))


def diag_mask_zero(a: Tensor, n_past: int) -> Tensor:
    """`a` (n_kv, n_tokens, ...) with 0 where i0 > n_past + i1."""
    need_f32("diag_mask_zero", a)
    return result("diag_mask_zero", a.ne, (a,), (whole("diag_mask_zero", "n_past", n_past),))


def _need_targets(op: str, logits: Tensor, targets: Tensor) -> None:
    need_f32(op, logits)
    need(logits.ne[0] > 0, op, "there is nothing to choose from in an empty row", logits)
    need(targets.type is I32 and targets.is_contiguous, op, "targets must be contiguous i32", targets)
    need(all(same_dim(targets.ne[i], logits.ne[i + 1]) for i in range(3)), op, "needs a target a row", logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-ln softmax(logits)[target] of each row, in nats: `logits` f32 (n, ne1, ne2, ne3), `targets` i32 (ne1, ne2, ne3)
    give f32 (ne1, ne2, ne3). A target of -1 is none: 0."""
    _need_targets("cross_entropy", logits, targets)
    return result("cross_entropy", logits.ne[1:], (logits, targets), n_dims=max(1, logits.n_dims - 1))


def cross_entropy_back(g: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """g * (softmax(logits) - 1 at the target) of each row, 0 without a target: `g` f32 as cross_entropy's result."""
    op = "cross_entropy_back"
    _need_targets(op, logits, targets)
    need_f32(op, g)
    need(g.is_contiguous and same_shape(g, targets), op, "needs a contiguous number a row", g, targets)
    return result(op, logits.ne, (g, logits, targets))


def flash_attn_back(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    g: Tensor,
    scale: float = 1.0,
    max_bias: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """The gradients of flash_attn_ext's q, k and v (Dao et al. 2022), from the gradient `g` of its result, which has no
    gaps in a row: f32 (n), one behind the other, each contiguous in the sizes of its tensor. Keys and values f32."""
    op = "flash_attn_back"
    need_f32(op, q, k, v, g)
    need(g.nb[0] == F32.bytes, op, "needs rows without gaps", g)
    need(not any(isinstance(n, Dim) for t in (q, k, v) for n in t.ne), op, "sizes vary from run to run", q, k)
    need(q.ne[0] == k.ne[0], op, "queries and keys differ in length", q, k)
    need(fits_times(k.ne[2], q.ne[2]) and q.ne[3] == k.ne[3], op, "heads don't fit", q, k)
    need(all(same_dim(k.ne[i], v.ne[i]) for i in (1, 2, 3)), op, "keys and values differ in number", k, v)
    made = (v.ne[0], q.ne[2], q.ne[1], q.ne[3])
    need(all(same_dim(x, y) for x, y in zip(g.ne, made, strict=True)), op, "the gradient is not that of the result", g)
    if mask is not None:
        need(mask.type in (F32, F16) and not mask.packed, op, "the mask must be f32 or f16", q, mask)
        need(mask_covers(mask, (k.ne[1], *q.ne[1:])), op, "the mask does not cover the scores", q, mask)
    params = (float(scale), float(max_bias), int(causal))
    sizes = q.n_elements + k.n_elements + v.n_elements
    return result(op, (sizes,), (q, k, v, mask, g), params, n_dims=1)


def _flash_attn_back_flops(t: Tensor) -> Cost:
    """Five products, and the softmax both ways."""
    q, k, v = t.src[0], t.src[1], t.src[2]
    assert q is not None and k is not None and v is not None
    n = q.ne[1] * k.ne[1] if not t.op_params[2] else q.ne[1] * (2 * k.ne[1] - q.ne[1] + 1) // 2
    return Cost.product(6 * q.ne[0] + 4 * v.ne[0] + 12, q.ne[2], q.ne[3], n)


def _acc_traffic(t: Tensor, src: Sources) -> Cost:
    assert src[1] is not None
    return bytes_of(src[1]).times(3)


def _add_rows_traffic(t: Tensor, src: Sources) -> Cost:
    b, rows = src[1], src[2]
    assert b is not None and rows is not None
    return bytes_of(b).plus(bytes_of(rows)).plus(rows_like(t.type, b).times(2))


def _rows(kind: str, flops: int, *builders: Callable[..., Tensor]) -> list[Op]:
    made = per_element(flops)
    return [Op(f, kind, made, plain_traffic, (0, 1), getattr(in_numpy, f.__name__)) for f in builders]


def _second_element(t: Tensor) -> Cost:
    assert t.src[1] is not None
    return count(t.src[1])


GRADIENT_OPS: tuple[Op, ...] = (
    Op(fill, "fill", no_flops, lambda t, _src: bytes_of(t), (), in_numpy.fill, before=True),
    Op(after, "copy", no_flops, lambda t, _src: bytes_of(t).times(2), (0,), in_numpy.after),
    Op(acc, "accumulate", _second_element, _acc_traffic, None, in_numpy.acc),
    Op(add_rows, "accumulate", _second_element, _add_rows_traffic, None, in_numpy.add_rows),
    Op(repeat_back, "reduction", per_source_element(1), plain_traffic, None, in_numpy.repeat_back, before=True),
    *_rows("backward", 2, relu_back),
    *_rows("backward", _EXP_FLOPS + 6, silu_back, gelu_back, gelu_erf_back, gelu_quick_back),
    *_rows("backward", 2, clamp_back),
    *_rows("backward", 12, norm_back),
    *_rows("backward", 8, rms_norm_back, l2_norm_back),
    *_rows("backward", 4, soft_max_back),
    Op(diag_mask_zero, "map", no_flops, plain_traffic, (0,), in_numpy.diag_mask_zero),
    Op(cross_entropy, "reduction", per_source_element(_EXP_FLOPS + 2), plain_traffic, None, in_numpy.cross_entropy),
    Op(
        cross_entropy_back,
        "backward",
        per_element(_EXP_FLOPS + 4),
        plain_traffic,
        (1,),
        in_numpy.cross_entropy_back,
    ),
    Op(flash_attn_back, "backward", _flash_attn_back_flops, plain_traffic, None, in_numpy.flash_attn_back),
)
