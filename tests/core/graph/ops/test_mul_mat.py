"""mul_mat against numpy: types, packed and not, odd sizes, broadcast, strides, and what is fused into it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from op_table import BLOCKS, DEFAULT, FLOATS, ISAS, MUL_MAT, Array, Case, Given, f32, near, packable, run, whole
from test_elementwise import gelu, gelu_erf, norm, rms_norm, silu

from ggtui import Context, Graph, Tensor, ops


def product(a: Array, b: Array) -> Array:
    """b @ a.T, matrix by matrix; a's matrices each serve as many of b's as there are more of them."""
    for axis in range(b.ndim - 2):
        a = a.reshape((1,) * (b.ndim - a.ndim) + a.shape)
        a = np.repeat(a, b.shape[axis] // a.shape[axis], axis=axis)
    return b @ a.swapaxes(-1, -2)


def kind(type: str, packed: bool) -> str:
    return f"{type}{'-packed' if packed else ''}"


# (k, m, n): rows around a tile of 16, columns one and several
FLOAT_SIZES = ((1, 1, 1), (15, 16, 2), (17, 15, 1), (33, 17, 7), (16, 1, 33), (257, 33, 3), (40, 257, 1))
BLOCK_SIZES = ((32, 1, 1), (64, 15, 2), (96, 16, 7), (256, 17, 1), (32, 33, 33), (64, 257, 3))


def plain_cases() -> list[Case]:
    return [
        Case(
            "mul_mat",
            f"{kind(type, packed)}-{k}-{m}-{n}",
            (Given((m, whole(type, k)), type, packed), f32(n, whole(type, k))),
            ops.mul_mat,
            product,
            # A lone sum may be small beside what it adds up.
            MUL_MAT * (10 if m * n == 1 else 1) if type in BLOCKS else DEFAULT,
        )
        for type in (*FLOATS, *BLOCKS)
        for packed in (False, True)
        if packable(type) or not packed
        for k, m, n in (BLOCK_SIZES if type in BLOCKS else FLOAT_SIZES)
    ]


def shape_cases() -> list[Case]:
    rows = []
    for type, packed in (("f32", False), ("f32", True), ("f16", True), ("q8_0", False), ("q8_0", True)):
        for name, a, b in (
            ("3d", (4, 17, 32), (4, 5, 32)),
            ("shared", (2, 17, 32), (6, 5, 32)),
            ("one-for-all", (17, 32), (3, 2, 5, 32)),
            ("4d", (3, 2, 17, 32), (3, 4, 5, 32)),
            ("4d-shared", (1, 2, 17, 32), (3, 4, 1, 32)),
            ("4d-shared-twice", (2, 1, 17, 32), (4, 3, 5, 32)),
            ("no-rows", (0, 32), (5, 32)),
            ("no-columns", (17, 32), (0, 32)),
            ("no-matrices", (17, 32), (0, 5, 32)),
            ("no-sum", (17, 0), (5, 0)),
        ):
            given = (Given(a, type, packed), f32(*b))
            rows.append(Case("mul_mat", f"{name}-{kind(type, packed)}", given, ops.mul_mat, product, MUL_MAT))
    for type in FLOATS:
        for layout in ("part", "turned", "permuted"):
            given = (Given((3, 17, 33), type, layout=layout), f32(3, 5, 33))
            rows.append(Case("mul_mat", f"{layout}-{type}", given, ops.mul_mat, product))
    for layout in ("part", "turned", "permuted"):
        rows.append(
            Case("mul_mat", f"second-{layout}", (f32(3, 17, 33), f32(3, 35, 33, layout=layout)), ops.mul_mat, product)
        )
        if layout != "turned":
            for type in ("f16", "q4_0"):
                given = (Given((3, 17, 64), type, packed=True), f32(3, 5, 64, layout=layout))
                rows.append(Case("mul_mat", f"second-{layout}-{type}", given, ops.mul_mat, product, MUL_MAT))
    rows.append(
        Case(
            "mul_mat", "both-turned", (f32(17, 33, layout="turned"), f32(5, 33, layout="turned")), ops.mul_mat, product
        )
    )
    rows.append(
        Case(
            "mul_mat",
            "blocks-permuted",
            (Given((3, 17, 64), "q8_0", layout="permuted"), f32(3, 5, 64)),
            ops.mul_mat,
            product,
            MUL_MAT,
        )
    )
    many = (Given((33, 257), "f32", packed=True), f32(521, 257))  # more columns than stay in the cache at once
    rows.append(Case("mul_mat", "many-columns", many, ops.mul_mat, product))
    return rows


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": gelu,
    "gelu_erf": gelu_erf,
    "gelu_quick": lambda x: x / (1 + np.exp(-1.702 * x)),
    "silu": silu,
}
KINDS = (("f32", False), ("f16", True), ("q8_0", True), ("q4_0", True))


def fused_cases() -> list[Case]:
    """Neighbours that become one node with the product; computed as one and apart."""
    rows = []
    for type, packed in KINDS:
        bound = MUL_MAT if type in BLOCKS else DEFAULT
        for n in (1, 9):
            a, x = Given((33, 64), type, packed), f32(n, 64)
            weights, biases, bias, rest = f32(64), f32(64), f32(33), f32(n, 33)

            def add(
                name: str,
                given: tuple[Given, ...],
                build: Callable[..., Tensor],
                want: Callable[..., Array],
                where: str = f"{kind(type, packed)}-{n}",
                bound: float = bound,
            ) -> None:
                rows.append(Case("mul_mat", f"{name}-{where}", given, build, want, bound))

            add("bias", (a, x, bias), lambda a, x, c: ops.add(ops.mul_mat(a, x), c), lambda a, x, c: x @ a.T + c)
            add("residual", (a, x, rest), lambda a, x, r: ops.add(r, ops.mul_mat(a, x)), lambda a, x, r: x @ a.T + r)
            add(
                "bias-residual",
                (a, x, bias, rest),
                lambda a, x, c, r: ops.add(ops.add(ops.mul_mat(a, x), c), r),
                lambda a, x, c, r: x @ a.T + c + r,
            )
            add(
                "norm",
                (a, x, weights, biases),
                lambda a, x, w, b: ops.mul_mat(a, ops.add(ops.mul(ops.norm(x, 1e-3), w), b)),
                lambda a, x, w, b: (norm(x, 1e-3) * w + b) @ a.T,
            )
            add("norm-alone", (a, x), lambda a, x: ops.mul_mat(a, ops.norm(x)), lambda a, x: norm(x, 1e-5) @ a.T)
            add(
                "rms_norm-activation-residual",
                (a, x, weights, bias, rest),
                lambda a, x, w, c, r: ops.add(ops.silu(ops.add(ops.mul_mat(a, ops.mul(ops.rms_norm(x), w)), c)), r),
                lambda a, x, w, c, r: silu((rms_norm(x, 1e-6) * w) @ a.T + c) + r,
            )
            for activation, f in ACTIVATIONS.items():
                act = ops.OPS[activation].build
                add(
                    activation,
                    (a, x, bias),
                    lambda a, x, c, act=act: act(ops.add(ops.mul_mat(a, x), c)),
                    lambda a, x, c, f=f: f(x @ a.T + c),
                )
    for name, residual in (("part", f32(9, 33, layout="part")), ("turned", f32(9, 33, layout="turned"))):
        rows.append(
            Case(
                "mul_mat",
                f"residual-{name}",
                (f32(33, 64), f32(9, 64), residual),
                lambda a, x, r: ops.add(ops.mul_mat(a, x), r),
                lambda a, x, r: x @ a.T + r,
            )
        )
    itself = (Given((33, 33), "f16", packed=True), f32(9, 33))
    rows.append(
        Case("mul_mat", "residual-itself", itself, lambda a, x: ops.add(ops.mul_mat(a, x), x), lambda a, x: x @ a.T + x)
    )
    return rows


CASES = (*plain_cases(), *shape_cases(), *fused_cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case) -> None:
    run(case)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("type", "packed"), [(t, p) for t in (*FLOATS, *BLOCKS) for p in (False, True) if packable(t) or not p]
)
def test_one_hot_columns_pick_single_weights(type: str, packed: bool, isa: str) -> None:
    """Column i has a one at place i: what comes out are the weights themselves, each where it belongs."""
    for k in (whole(type, 32), whole(type, 300)) if type in BLOCKS else (1, 15, 17, 33):
        ctx = Context()
        a = ctx.tensor(np.random.default_rng(k).standard_normal((35, k)), type=type, packed=packed)
        y = ops.mul_mat(a, ctx.tensor(np.eye(k, dtype=np.float32)))
        g = Graph()
        g.build_forward_expand(y)
        g.compute(threads=2, isa=isa)
        weights = np.asarray(a.numpy(), np.float64)
        if type in BLOCKS and packed:  # the ones are 127 times the nearest float to 1/127; minimums are added apart
            with_minimum = type in ("q4_1", "q5_1", "q2_k", "q4_k", "q5_k")  # two large numbers may nearly cancel
            np.testing.assert_allclose(y.numpy(), weights.T, rtol=1e-6, atol=1e-6 if with_minimum else 0)
        else:
            assert np.array_equal(y.numpy(), weights.T)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("type", [type for type in BLOCKS if packable(type)])
def test_columns_of_very_different_size(type: str, isa: str) -> None:
    """Each 32 activations have a scale of their own: a large one elsewhere costs no precision."""
    ctx, rng = Context(), np.random.default_rng(5)
    x = rng.standard_normal((7, whole(type, 64)), np.float32) * np.float32(10.0) ** rng.integers(-15, 15, (7, 1))
    x[3] = 0
    a = ctx.tensor(rng.standard_normal((17, whole(type, 64))), type=type, packed=True)
    y = ops.mul_mat(a, ctx.tensor(x))
    g = Graph()
    g.build_forward_expand(y)
    g.compute(isa=isa)
    for row, got in zip(x.astype(np.float64), y.numpy(), strict=True):
        near(got, a.numpy().astype(np.float64) @ row, MUL_MAT)
