"""soft_max, masks, rope and fused attention against numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from op_table import (
    ATTENTION,
    DEFAULT,
    EXACT,
    ISAS,
    SOFT_MAX,
    Array,
    Case,
    Given,
    every_way,
    f32,
    i32,
    near,
    normal,
    run,
)

from ggtui import Context, Graph, Tensor, ops


def slopes(n_head: int, max_bias: float) -> Array:
    """ALiBi's slope of each head: a series with ratio 2^(-max_bias / n) for the first n = 2^i heads; for the rest every
    other one of the series that n = 2^(i+1) heads would have."""
    if max_bias == 0:
        return np.ones(n_head)
    n = 2 ** int(np.log2(n_head))
    first = 2 ** (-max_bias * np.arange(1, n + 1) / n)
    rest = 2 ** (-max_bias * np.arange(1, 2 * n, 2) / (2 * n))
    return np.concatenate([first, rest])[:n_head]


def over(mask: Array, shape: tuple[int, ...]) -> Array:
    """A mask over and over to scores (ne3, n_head, n_tokens, n_kv); of its rows only the first are needed."""
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)[..., : shape[2], :]
    return np.tile(mask, (shape[0] // mask.shape[0], shape[1] // mask.shape[1], 1, 1))


def soft_max(
    x: Array, mask: Array | None = None, scale: float = 1.0, max_bias: float = 0.0, sinks: Array | None = None
) -> Array:
    """softmax(scale * x + slope * mask) along the last axis of (ne3, n_head, n_tokens, n_kv) or of fewer axes."""
    shape = x.shape
    x = scale * x.reshape((1,) * (4 - x.ndim) + shape)
    if mask is not None:
        with np.errstate(invalid="ignore"):
            x = x + slopes(x.shape[1], max_bias)[:, None, None] * over(mask, x.shape)
    sink = np.full((x.shape[1], 1, 1), -np.inf) if sinks is None else sinks[:, None, None]
    most = np.maximum(x.max(axis=-1, keepdims=True, initial=-np.inf), sink)
    e = np.exp(x - most)
    return (e / (e.sum(axis=-1, keepdims=True) + np.exp(sink - most))).reshape(shape)


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    scale: float = 1.0,
    max_bias: float = 0.0,
    causal: bool = False,
    sinks: Array | None = None,
) -> Array:
    """q (ne3, n_head, n_tokens, d_k), k and v (ne3, n_head_kv, n_kv, d), result (ne3, n_tokens, n_head, d_v)."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = scale * q @ k.swapaxes(-1, -2)
    if mask is not None:
        scores = scores + slopes(q.shape[1], max_bias)[:, None, None] * over(mask, scores.shape)
    if causal:
        n_tokens, n_kv = scores.shape[-2:]
        scores = np.where(np.arange(n_kv) > n_kv - n_tokens + np.arange(n_tokens)[:, None], -np.inf, scores)
    return (soft_max(scores, sinks=sinks) @ v).swapaxes(1, 2)


def with_infinities(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A mask: a third of it hides, but never the first position."""
    mask = normal(rng, shape)
    mask[rng.random(shape) < 1 / 3] = -np.inf
    mask[..., 0] = 0.5
    return mask


def distances(_rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """ALiBi's mask: minus how far back each position lies; those ahead are hidden."""
    behind = np.arange(shape[-1])[None] - np.arange(shape[-2])[:, None] - 1
    return np.broadcast_to(np.where(behind > 0, -np.inf, behind), shape).astype(np.float32)


def mask(
    *shape: int, type: str = "f32", layout: str = "plain", values: Callable[..., Array] = with_infinities
) -> Given:
    return Given(shape, type, layout=layout, values=values)


def soft_max_case(name: str, x: Given, m: Given | None = None, sinks: Given | None = None, **options: float) -> Case:
    extra = [g for g in (m, sinks) if g is not None]

    def arguments(more: tuple[Any, ...]) -> dict[str, Any]:
        names = [name for name, g in (("mask", m), ("sinks", sinks)) if g is not None]
        return dict(zip(names, more, strict=True)) | options

    return Case(
        "soft_max",
        name,
        (x, *extra),
        lambda x, *more: ops.soft_max(x, **arguments(more)),
        lambda x, *more: soft_max(x, **arguments(more)),
        SOFT_MAX,
    )


def soft_max_cases() -> list[Case]:
    rows = [soft_max_case(f"{n}", f32(5, n)) for n in (1, 2, 15, 16, 17, 33, 257)]
    rows += [soft_max_case(f"scale-{s}", f32(5, 33), scale=s) for s in (0.125, -2.0, 0.0)]
    rows += [soft_max_case(layout, f32(3, 5, 37, layout=layout)) for layout in ("part", "turned", "permuted")]
    rows += [
        soft_max_case("empty", f32(0, 33)),
        soft_max_case("far", f32(5, 33, values=lambda r, s: 1e4 * normal(r, s))),
    ]
    for type in ("f32", "f16"):
        for n in (1, 16, 33, 257):
            rows.append(soft_max_case(f"mask-{type}-{n}", f32(2, 5, n), mask(5, n, type=type), scale=0.3))
        rows.append(soft_max_case(f"mask-{type}-longer", f32(2, 5, 33), mask(9, 33, type=type)))
        rows.append(soft_max_case(f"mask-{type}-4d", f32(4, 6, 5, 33), mask(2, 3, 5, 33, type=type)))
        rows.append(soft_max_case(f"mask-{type}-part", f32(2, 5, 33), mask(5, 33, type=type, layout="part")))
        rows.append(soft_max_case(f"mask-{type}-permuted", f32(2, 5, 33), mask(2, 5, 33, type=type, layout="permuted")))
        for n_head in (1, 4, 8, 6, 12):
            alibi = mask(5, 17, type=type, values=distances)
            rows.append(soft_max_case(f"alibi-{type}-{n_head}", f32(n_head, 5, 17), alibi, scale=0.5, max_bias=8.0))
    rows.append(soft_max_case("sinks", f32(2, 3, 5, 33), sinks=f32(3)))
    rows.append(soft_max_case("mask-sinks-alibi", f32(2, 6, 5, 33), mask(5, 33), f32(6), scale=0.3, max_bias=4.0))
    rows.append(
        Case(
            "soft_max",
            "scaled-masked-before",
            (f32(2, 7, 33),),
            lambda x: ops.soft_max(ops.diag_mask_inf(ops.scale(x, 0.25), 3)),
            lambda x: soft_max(np.where(np.arange(33) > 3 + np.arange(7)[:, None], -np.inf, 0.25 * x)),
            SOFT_MAX,
        )
    )
    return rows


def diag_mask_inf(x: Array, n_past: int) -> Array:
    return np.where(np.arange(x.shape[-1]) > n_past + np.arange(x.shape[-2])[:, None], -np.inf, x)


def diag_mask_inf_cases() -> list[Case]:
    return [
        Case(
            "diag_mask_inf",
            f"{'x'.join(map(str, x.shape))}-{x.layout}-{n_past}",
            (x,),
            lambda a, n=n_past: ops.diag_mask_inf(a, n),
            lambda a, n=n_past: diag_mask_inf(a, n),
            EXACT,
        )
        for x in (
            f32(1, 1),
            f32(17, 17),
            f32(2, 3, 5, 33),
            f32(3, 7, 16, layout="turned"),
            f32(3, 7, 16, layout="part"),
            f32(3, 7, 16, layout="permuted"),
            f32(0, 4),
        )
        for n_past in (0, 1, 11, 300)
    ]


def rope(
    x: Array,
    positions: Array,
    factors: Array | None = None,
    n_dims: int | None = None,
    mode: str = "normal",
    freq_base: float = 10000.0,
    freq_scale: float = 1.0,
    attn_factor: float = 1.0,
) -> Array:
    """x (..., n_tokens, n_head, d) as complex numbers, each turned by its angle."""
    n = x.shape[-1] if n_dims is None else n_dims
    angle = positions[:, None] * freq_scale * freq_base ** (-2 * np.arange(n // 2) / n)
    turn = attn_factor * np.exp(1j * (angle if factors is None else angle / factors))[:, None, :]
    real, imaginary = (slice(0, n, 2), slice(1, n, 2)) if mode == "normal" else (slice(0, n // 2), slice(n // 2, n))
    turned = (x[..., real] + 1j * x[..., imaginary]) * turn
    out = x.copy()
    out[..., real], out[..., imaginary] = turned.real, turned.imag
    return out


def rope_cases() -> list[Case]:
    rows = []
    factors = f32(8, values=lambda rng, shape: rng.uniform(1, 8, shape).astype(np.float32))
    for mode in ("normal", "neox"):
        for name, x, extra, options in (
            ("2", f32(1, 1, 2), (), {}),
            ("16", f32(5, 3, 16), (), {}),
            ("40", f32(3, 33, 40), (), {"freq_base": 500.0}),
            ("266", f32(3, 2, 266), (), {"freq_base": 1e6}),
            ("4d", f32(2, 5, 3, 16), (), {}),
            ("part-of-row", f32(5, 3, 23), (), {"n_dims": 16}),
            ("scaled", f32(5, 3, 16), (), {"freq_scale": 0.25, "attn_factor": 1.7}),
            ("factors", f32(5, 3, 16), (factors,), {}),
            ("factors-part-of-row", f32(5, 3, 33), (factors,), {"n_dims": 16, "freq_scale": 0.5}),
            ("part", f32(5, 3, 16, layout="part"), (), {}),
            ("turned", f32(5, 3, 20, layout="turned"), (), {"n_dims": 16}),
            ("permuted", f32(5, 3, 16, layout="permuted"), (), {}),
            ("empty", f32(0, 3, 16), (), {}),
        ):
            positions = i32(x.shape[-3], high=2000)
            rows.append(
                Case(
                    "rope",
                    f"{mode}-{name}",
                    (x, positions, *extra),
                    lambda x, p, ff=None, o=options, m=mode: ops.rope(x, p, mode=m, freq_factors=ff, **o),
                    lambda x, p, ff=None, o=options, m=mode: rope(x, p, ff, mode=m, **o),
                    DEFAULT,
                )
            )
    return rows


def attention_case(
    name: str, q: Given, k: Given, v: Given, m: Given | None = None, sinks: Given | None = None, **options: Any
) -> Case:
    extra = [g for g in (m, sinks) if g is not None]

    def arguments(more: tuple[Any, ...]) -> dict[str, Any]:
        names = [name for name, g in (("mask", m), ("sinks", sinks)) if g is not None]
        return dict(zip(names, more, strict=True)) | options

    return Case(
        "flash_attn_ext",
        name,
        (q, k, v, *extra),
        lambda q, k, v, *more: ops.flash_attn_ext(q, k, v, **arguments(more)),
        lambda q, k, v, *more: attention(q, k, v, **arguments(more)),
        ATTENTION,
    )


def attention_cases() -> Iterator[Case]:
    def heads(
        n_head: int,
        n_tokens: int,
        n_kv: int,
        d_k: int,
        d_v: int,
        type: str,
        packed: bool = False,
        n_head_kv: int = 0,
        ne3: int = 1,
    ) -> tuple[Given, Given, Given]:
        n_head_kv = n_head_kv or n_head
        return (
            f32(ne3, n_head, n_tokens, d_k),
            Given((ne3, n_head_kv, n_kv, d_k), type, packed),
            Given((ne3, n_head_kv, n_kv, d_v), type),
        )

    for type in ("f32", "f16"):
        for packed in (False, True):
            where = f"{type}{'-packed' if packed else ''}"
            for n_tokens, n_kv in ((1, 1), (1, 15), (7, 16), (3, 17), (33, 33), (2, 257), (64, 70)):
                given = heads(3, n_tokens, n_kv, 64, 64, type, packed)
                yield attention_case(f"{where}-{n_tokens}-of-{n_kv}", *given, scale=0.125)
                yield attention_case(f"{where}-{n_tokens}-of-{n_kv}-causal", *given, scale=0.125, causal=True)
            for d_k, d_v in ((1, 1), (15, 17), (40, 24), (33, 80), (128, 128)):
                given = heads(2, 5, 21, d_k, d_v, type, packed)
                yield attention_case(f"{where}-d-{d_k}-{d_v}", *given, scale=0.2, causal=True)
            for n_head, n_head_kv in ((6, 1), (6, 2), (12, 4)):
                given = heads(n_head, 9, 19, 32, 32, type, packed, n_head_kv, ne3=2)
                yield attention_case(f"{where}-groups-{n_head}-{n_head_kv}", *given, scale=0.2, causal=True)
            for mask_type in ("f32", "f16"):
                for n_head in (4, 6):
                    q, k, v = heads(n_head, 9, 35, 24, 24, type, packed, ne3=2)
                    name = f"{where}-mask-{mask_type}-{n_head}"
                    yield attention_case(name, q, k, v, mask(9, 35, type=mask_type), scale=0.2)
                    many = mask(2, n_head // 2, 40, 35, type=mask_type)
                    yield attention_case(f"{name}-4d-sinks", q, k, v, many, f32(n_head), scale=0.2)
                    alibi = mask(9, 35, type=mask_type, values=distances)
                    yield attention_case(f"{name}-alibi", q, k, v, alibi, scale=0.2, max_bias=8.0)
            yield attention_case(f"{where}-sinks", *heads(3, 9, 35, 24, 24, type, packed), sinks=f32(3), causal=True)
            yield attention_case(f"{where}-no-queries", *heads(3, 0, 9, 16, 16, type, packed))
        q, k, v = heads(3, 9, 35, 24, 24, type)
        for layout in ("part", "permuted", "turned"):
            yield attention_case(f"{type}-q-{layout}", f32(*q.shape, layout=layout), k, v)
            yield attention_case(f"{type}-k-{layout}", q, Given(k.shape, type, layout=layout), v)
            if layout != "turned":
                yield attention_case(f"{type}-v-{layout}", q, k, Given(v.shape, type, layout=layout))
            for mask_type in ("f32", "f16"):
                yield attention_case(
                    f"{type}-mask-{mask_type}-{layout}",
                    q,
                    k,
                    v,
                    mask(9, 35, type=mask_type, layout=layout)
                    if layout != "permuted"
                    else mask(3, 9, 35, type=mask_type, layout=layout),
                )


CASES = (*soft_max_cases(), *diag_mask_inf_cases(), *rope_cases(), *attention_cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case) -> None:
    run(case)


def composed(q: Tensor, k: Tensor, v: Tensor, m: Tensor | None, scale: float, max_bias: float) -> Tensor:
    """Attention from ops of its own: scores, softmax, and the values turned so that positions are the rows."""
    scores = ops.soft_max(ops.mul_mat(k, q), m, scale, max_bias)
    return ops.permute(ops.mul_mat(ops.cont(ops.transpose(v)), scores), 0, 2, 1, 3)


@pytest.mark.parametrize("type", ["f32", "f16"])
@pytest.mark.parametrize(("masked", "max_bias"), [(False, 0.0), (True, 0.0), (True, 8.0)])
@pytest.mark.parametrize(("n_tokens", "n_kv", "d"), [(1, 40, 24), (9, 65, 64), (35, 35, 20)])
def test_fused_attention_is_what_its_parts_give(
    type: str, masked: bool, max_bias: float, n_tokens: int, n_kv: int, d: int
) -> None:
    ctx, rng = Context(), np.random.default_rng(d)
    q = ctx.tensor(normal(rng, (4, n_tokens, d)))
    k, v = (ctx.tensor(normal(rng, (2, n_kv, d)), type=type) for _ in range(2))
    m = ctx.tensor(with_infinities(rng, (n_tokens, n_kv))) if masked else None
    fused, parts = ops.flash_attn_ext(q, k, v, m, 0.2, max_bias), composed(q, k, v, m, 0.2, max_bias)
    g = Graph()
    g.build_forward_expand(fused)
    g.build_forward_expand(parts)
    every_way(fused, g, [q, k, v], lambda got: near(got, parts.numpy().astype(np.float64), ATTENTION))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("type", ["f32", "f16"])
def test_a_query_that_sees_one_position_gets_its_value(type: str, isa: str) -> None:
    ctx, rng = Context(), np.random.default_rng(0)
    n = 150  # several blocks
    q, k, v = (normal(rng, (1, n, 24)) for _ in range(3))
    one = rng.permutation(n)
    m = np.full((n, n), -np.inf, np.float32)
    m[np.arange(n), one] = 3
    values = ctx.tensor(v, type=type)
    y = ops.flash_attn_ext(ctx.tensor(q), ctx.tensor(k, type=type, packed=True), values, ctx.tensor(m))
    g = Graph()
    g.build_forward_expand(y)
    g.compute(threads=2, isa=isa)
    assert np.array_equal(y.numpy()[:, 0], values.numpy()[0, one].astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
def test_a_query_that_sees_nothing_gets_zeros(isa: str) -> None:
    ctx = Context()
    q, k, v = (ctx.tensor(np.ones((1, n, 8), np.float32)) for n in (3, 20, 20))
    m = ctx.tensor(np.array([[0] * 20, [-np.inf] * 20, [1] * 20], np.float32))
    nothing = ctx.tensor(np.ones((1, 0, 8), np.float32))
    some, none = ops.flash_attn_ext(q, k, v, m), ops.flash_attn_ext(q, nothing, nothing)
    g = Graph()
    g.build_forward_expand(some)
    g.build_forward_expand(none)
    g.compute(isa=isa)
    np.testing.assert_allclose(some.numpy()[:, 0, 0], [1, 0, 1], rtol=1e-6)
    assert not none.numpy().any()
