"""Matrix multiplication, and the ops of attention: soft_max, masks, fused attention; and functions of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops.base import (
    I32,
    MAX_SRC,
    Op,
    Sources,
    bytes_of,
    count,
    fits_times,
    need,
    need_f32,
    no_flops,
    per_element,
    plain_traffic,
    result,
    whole,
)
from ggtui.core.graph.ops.in_numpy import attention as in_numpy
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES, TensorType, type_of

F32, F16 = TYPES["f32"], TYPES["f16"]
KV_TYPES = ("f16", "f32", "q8_0")  # of keys and values in pages
PAGE = in_numpy.PAGE
N_SEEN, N_READ = "n_seen", "n_read"  # sizes of a run that costs of paged attention hang on


def mul_mat(a: Tensor, b: Tensor) -> Tensor:
    """The dot product of each row of `a` with each row of `b`: (k, m, a2, a3) and (k, n, b2, b3) give (m, n, b2, b3).

    `a` is of any type, `b` f32; `a` is broadcast over dimensions 2 and 3. With numpy: b @ a.T.
    Where `a` is packed and of a block type, `b` is rounded to 8 bits, 32 values sharing a scale.
    """
    need_f32("mul_mat", b)
    need(same_dim(a.ne[0], b.ne[0]), "mul_mat", "rows (ne0) differ in length", a, b)
    need(a.type is not I32, "mul_mat", "weights can't be i32", a, b)
    fits = fits_times(a.ne[2], b.ne[2]) and fits_times(a.ne[3], b.ne[3])
    need(fits, "mul_mat", "the first operand can't be broadcast over dimensions 2 and 3 of the second", a, b)
    if a.packed:
        need(
            b.nb[0] == b.type.bytes,
            "mul_mat",
            "with packed weights the second operand needs rows without gaps",
            a,
            b,
        )
    return result("mul_mat", (a.ne[1], b.ne[1], b.ne[2], b.ne[3]), (a, b))


def _mul_mat_flops(t: Tensor) -> Cost:
    assert t.src[0] is not None
    return count(t).times(t.src[0].ne[0]).times(2)


def diag_mask_inf(a: Tensor, n_past: int) -> Tensor:
    """`a` (n_kv, n_tokens, ...) with -inf where i0 > n_past + i1: no token sees a later one."""
    need_f32("diag_mask_inf", a)
    return result("diag_mask_inf", a.ne, (a,), (whole("diag_mask_inf", "n_past", n_past),))


def mask_covers(mask: Tensor, scores: Sequence[int]) -> bool:
    """Whether a mask has a row for each row of scores (n_kv, n_tokens, n_head, ne3), repeated over the heads."""
    enough = mask.ne[1] >= scores[1] and not isinstance(mask.ne[1], Dim)
    return (
        same_dim(mask.ne[0], scores[0])
        and (enough or same_dim(mask.ne[1], scores[1]))
        and fits_times(mask.ne[2], scores[2])
        and fits_times(mask.ne[3], scores[3])
    )


def soft_max(
    a: Tensor,
    mask: Tensor | None = None,
    scale: float = 1.0,
    max_bias: float = 0.0,
    sinks: Tensor | None = None,
) -> Tensor:
    """softmax(scale * a + slope * mask) of each row.

    mask   f32 or f16 (ne0, at least ne1, m2, m3), broadcast over dimensions 2 and 3
    max_bias  above 0: ALiBi, each head (dimension 2) has a slope of its own (Press et al. 2021); else the slope is 1
    sinks  f32 (ne2): a logit for each head that takes part in the sum and has no place in the result
    """
    need_f32("soft_max", a, sinks)
    if mask is not None:
        need(mask.type in (F32, F16) and not mask.packed, "soft_max", "the mask must be f32 or f16", a, mask)
        need(mask_covers(mask, a.ne), "soft_max", "the mask does not cover the rows", a, mask)
        need(mask.nb[0] == mask.type.bytes, "soft_max", "the mask needs rows without gaps", a, mask)
    need(max_bias == 0.0 or mask is not None, "soft_max", "max_bias needs a mask to weigh", a)
    if sinks is not None:
        need(same_dim(sinks.ne[0], a.ne[2]) and sinks.n_rows == 1, "soft_max", "needs a sink for each head", a, sinks)
    return result("soft_max", a.ne, (a, mask, sinks), (float(scale), float(max_bias)))


def flash_attn_ext(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    scale: float = 1.0,
    max_bias: float = 0.0,
    causal: bool = False,
    sinks: Tensor | None = None,
) -> Tensor:
    """softmax(scale * k.q + slope * mask) . v in one go, the softmax computed online (Dao et al. 2022).

    q        f32 (d_k, n_tokens, n_head, ne3)
    k, v     f32 or f16 (d_k, n_kv, n_head_kv, ne3) and (d_v, n_kv, n_head_kv, ne3); n_head_kv divides n_head; k may
             be packed
    mask     as for soft_max, (n_kv, at least n_tokens, m2, m3)
    causal   token i sees the keys up to n_kv - n_tokens + i
    Result   f32 (d_v, n_head, n_tokens, ne3)
    """
    op = "flash_attn_ext"
    need_f32(op, q, sinks)
    need(k.type is v.type and k.type in (F32, F16), op, "keys and values must both be f32 or both f16", k, v)
    need(not v.packed and v.nb[0] == v.type.bytes, op, "values need rows without gaps", v)
    need(same_dim(q.ne[0], k.ne[0]), op, "queries and keys differ in length", q, k)
    need(all(same_dim(k.ne[i], v.ne[i]) for i in (1, 2, 3)), op, "keys and values differ in number", k, v)
    need(fits_times(k.ne[2], q.ne[2]) and same_dim(q.ne[3], k.ne[3]), op, "heads don't fit", q, k)
    if mask is not None:
        need(mask.type in (F32, F16) and not mask.packed, op, "the mask must be f32 or f16", q, mask)
        need(mask_covers(mask, (k.ne[1], *q.ne[1:])), op, "the mask does not cover the scores", q, mask)
    need(max_bias == 0.0 or mask is not None, op, "max_bias needs a mask to weigh", q)
    if sinks is not None:
        need(same_dim(sinks.ne[0], q.ne[2]) and sinks.n_rows == 1, op, "needs a sink for each head", q, sinks)
    params = (float(scale), float(max_bias), int(causal))
    return result(op, (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), (q, k, v, mask, sinks), params)


def _flash_attn_flops(t: Tensor) -> Cost:
    q, k, v = t.src[0], t.src[1], t.src[2]
    assert q is not None and k is not None and v is not None
    d_k, n_tokens, n_head, ne3 = q.ne
    d_v, n_kv = v.ne[:2]
    each = Cost.product(2 * (d_k + d_v) + 8, n_head, ne3)  # a query and a position, in all heads
    seen = Cost.product(n_tokens, n_kv)
    if not t.op_params[2]:
        return each.times(seen)
    later = Cost.of(n_tokens).times(Cost.of(n_tokens).minus(1))  # twice the positions after a token: not looked at
    return each.times(seen.times(2).minus(later)).over(2)


def paged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tokens: Tensor,
    pages: Tensor,
    sinks: Tensor | None = None,
    scale: float = 1.0,
    softcap: float = 0.0,
) -> Tensor:
    """softmax(cap(scale * k.q)) . v of each token, over positions `from` to `to` - 1 of its sequence: causal limits,
    windows, several sequences and prefixes that they share are all that (Kwon et al. 2023).

    q        f32 (d_k, n_tokens, n_head)
    k, v     f32, f16 or q8_0 (d_k, PAGE n_pages, n_head_kv) and (d_v, PAGE n_pages, n_head_kv), in pages of PAGE
             positions; n_head_kv divides n_head: neighbouring query heads share one; k may be packed
    tokens   i32 (3, n_tokens): of each token its sequence's row of `pages`, from and to
    pages    i32 (n, n_rows): in which page positions PAGE j and on of a row's sequence lie
    sinks    f32 (n_head): a logit for each head that takes part in the sum and has no value
    softcap  c above 0: cap(s) = c tanh(s / c); else s
    Result   f32 (d_v, n_head, n_tokens)
    """
    op = "paged_attention"
    need_f32(op, q, sinks)
    need(k.type is v.type and k.type.name in KV_TYPES, op, "keys and values must both be f32, f16 or q8_0", k, v)
    need(q.nb[0] == q.type.bytes and not v.packed and v.nb[0] == v.type.bytes, op, "needs rows without gaps", q, v)
    stored = all(t.nb[1] == t.type.row_bytes(t.ne[0]) for t in (k, v))
    need(stored and (k.packed or k.nb[0] == k.type.bytes), op, "positions must follow each other", k, v)
    need(same_dim(q.ne[0], k.ne[0]), op, "queries and keys differ in length", q, k)
    need(same_dim(k.ne[1], v.ne[1]) and same_dim(k.ne[2], v.ne[2]), op, "keys and values differ in number", k, v)
    need(fits_times(PAGE, k.ne[1]), op, f"needs whole pages of {PAGE} positions", k)
    need(fits_times(k.ne[2], q.ne[2]), op, "heads don't fit", q, k)
    need(all(t.ne[3] == 1 for t in (q, k, v)), op, "has no fourth dimension", q, k, v)
    plain = tokens.type is I32 and same_dim(tokens.ne[0], 3) and tokens.n_rows == tokens.ne[1]
    need(plain and same_dim(tokens.ne[1], q.ne[1]), op, "needs 3 numbers for each token", tokens, q)
    need(pages.type is I32 and pages.nb[0] == I32.bytes, op, "needs a table of i32 pages", pages)
    if sinks is not None:
        need(same_dim(sinks.ne[0], q.ne[2]) and sinks.n_rows == 1, op, "needs a sink for each head", q, sinks)
    return result(
        op, (v.ne[0], q.ne[2], q.ne[1]), (q, k, v, tokens, pages, sinks), (float(scale), float(softcap)), n_dims=3
    )


def _paged_attention_flops(t: Tensor) -> Cost:
    """Positions that tokens see are known in a run alone: N_SEEN, over all tokens."""
    q, v = t.src[0], t.src[2]
    assert q is not None and v is not None
    return Cost.product(2 * (q.ne[0] + v.ne[0]) + 8, q.ne[2]).times(Cost.named(N_SEEN))


def _seen_and_read(t: Tensor) -> dict[str, int]:
    assert t.src[3] is not None
    tokens = t.src[3].numpy().reshape(-1, 3)
    rows = {row: tokens[tokens[:, 0] == row] for row in tokens[:, 0].tolist()}
    read = sum(max(int(mine[:, 2].max()) - int(mine[:, 1].min()), 0) for mine in rows.values())
    return {N_SEEN: int((tokens[:, 2] - tokens[:, 1]).sum()), N_READ: read}


def _paged_attention_traffic(t: Tensor, src: Sources) -> Cost:
    """Queries and the result, and of keys and values those of N_READ positions: all that any token sees, once."""
    q, k, v = src[0], src[1], src[2]
    assert q is not None and k is not None and v is not None
    position = (k.nb[1] + v.nb[1]) * k.ne[2]
    return bytes_of(t).plus(bytes_of(q)).plus(Cost.named(N_READ).times(position))


def map_custom(
    function: Callable[..., None],
    *src: Tensor,
    ne: Sequence[int] | None = None,
    type: str | TensorType = "f32",
) -> Tensor:
    """A Python function as an op: function(dst, *src, ith, nth) with numpy arrays, shaped as `numpy()` shapes them.

    Every thread calls it, under the GIL, and computes its share, the ith of nth; it returns when its share of `dst` is
    written. What it raises comes out of the run. Sources must be f32, f16 or i32. Result: sizes `ne` (default those of
    the first source) of `type`.
    """
    need(len(src) > 0 or ne is not None, "map_custom", "needs a source or sizes")
    need(len(src) <= MAX_SRC, "map_custom", f"takes at most {MAX_SRC} sources, not {len(src)}")
    plain = ("f32", "f16", "i32")
    for s in src:
        need(s.type.name in plain and not s.packed, "map_custom", "sources must be plain f32, f16 or i32", s)
    kind = type_of(type)
    t = result("map_custom", tuple(ne) if ne is not None else src[0].ne, src, type=kind, function=function)
    need(kind.name in plain, "map_custom", "the result must be f32, f16 or i32", t)
    return t


ATTENTION_OPS: tuple[Op, ...] = (
    Op(mul_mat, "product", _mul_mat_flops, plain_traffic, None, in_numpy.mul_mat),
    Op(diag_mask_inf, "map", no_flops, plain_traffic, (0,), in_numpy.diag_mask_inf),
    Op(soft_max, "soft_max", per_element(12), plain_traffic, (0,), in_numpy.soft_max),
    Op(flash_attn_ext, "attention", _flash_attn_flops, plain_traffic, None, in_numpy.flash_attn_ext, headwise=(1, 2)),
    Op(
        paged_attention,
        "attention",
        _paged_attention_flops,
        _paged_attention_traffic,
        None,
        in_numpy.paged_attention,
        headwise=(1, 2),
        told_by_data=_seen_and_read,
    ),
    Op(map_custom, "custom", no_flops, plain_traffic),
)
