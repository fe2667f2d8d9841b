"""Ops value by value and row by row against numpy: arithmetic, activations, sums, norms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from op_table import BINARY, EXACT, Array, Case, Given, f32, integers, positive, run

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.runtime.cpu.native import usable_isas


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def gelu(x: Array) -> Array:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x: Array) -> Array:
    return x / 2 * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


UNARY: dict[str, Callable[[Array], Array]] = {
    "sqr": np.square,
    "sqrt": np.sqrt,
    "neg": np.negative,
    "log": np.log,
    "exp": np.exp,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "silu": silu,
    "gelu": gelu,
    "gelu_erf": gelu_erf,
    "gelu_quick": lambda x: x * sigmoid(1.702 * x),
}
BINARIES: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
}
SHAPES = ((1,), (15,), (16,), (5, 17), (33,), (3, 2, 257), (2, 3, 4, 7), (0,), (3, 0), (0, 3))
LAYOUTS = ("part", "turned", "permuted")


def norm(x: Array, eps: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + eps)


def rms_norm(x: Array, eps: float) -> Array:
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + eps)


def l2_norm(x: Array, eps: float) -> Array:
    return x / np.maximum(np.sqrt(np.square(x).sum(axis=-1, keepdims=True)), eps)


NORMS = {"norm": norm, "rms_norm": rms_norm, "l2_norm": l2_norm}


def operands() -> list[tuple[str, Given]]:
    """Odd sizes laid out plainly, and one size in every layout; with a name for each."""
    plain = [("x".join(map(str, shape)), f32(*shape)) for shape in SHAPES]
    return plain + [(layout, f32(3, 5, 37, layout=layout)) for layout in LAYOUTS]


def with_values(given: Given, values: Callable[..., Array]) -> Given:
    return Given(given.shape, given.type, given.packed, given.layout, values)


def unary_cases() -> list[Case]:
    rows = []
    for op, want in UNARY.items():
        build = ops.OPS[op].build
        for name, x in operands():
            rows.append(Case(op, name, (with_values(x, positive) if op in ("log", "sqrt") else x,), build, want))
        rows.append(Case(op, "inplace", (f32(5, 33, values=positive),), lambda x, b=build: b(x, inplace=True), want))
    return rows


# (name, first operand, second operand)
PAIRS = (
    *(("x".join(map(str, shape)), f32(*shape), f32(*shape, values=positive)) for shape in SHAPES),
    ("row", f32(7, 33), f32(33, values=positive)),
    ("column", f32(7, 33), f32(7, 1, values=positive)),
    ("one", f32(7, 33), f32(1, values=positive)),
    ("some-dims", f32(2, 3, 4, 17), f32(2, 1, 4, 1, values=positive)),
    ("other-dims", f32(2, 3, 4, 17), f32(3, 1, 17, values=positive)),
    ("a-few-times", f32(4, 6, 10), f32(2, 3, 5, values=positive)),
    ("empty-row", f32(3, 0), f32(0, values=positive)),
    *((f"{layout}-first", f32(3, 5, 37, layout=layout), f32(3, 5, 37, values=positive)) for layout in LAYOUTS),
    *((f"{layout}-second", f32(3, 5, 37), f32(3, 5, 37, layout=layout, values=positive)) for layout in LAYOUTS),
    ("long-turned", f32(3, 513), f32(3, 513, layout="turned", values=positive)),
    ("turned-column", f32(5, 33), f32(5, 1, layout="turned", values=positive)),
)


def repeated(b: Array, a: Array) -> Array:
    """b over and over to the shape of a."""
    b = b.reshape((1,) * (a.ndim - b.ndim) + b.shape)
    return np.tile(b, [n // max(m, 1) for n, m in zip(a.shape, b.shape, strict=True)])


def binary_cases() -> list[Case]:
    rows = []
    for op, f in BINARIES.items():
        build = ops.OPS[op].build
        rows += [Case(op, name, (a, b), build, lambda a, b, f=f: f(a, repeated(b, a)), BINARY) for name, a, b in PAIRS]
        inplace = (f32(5, 33), f32(33, values=positive))
        rows.append(Case(op, "inplace", inplace, lambda a, b, build=build: build(a, b, inplace=True), f, BINARY))
        part = (f32(5, 33, layout="part"), f32(33, values=positive))
        rows.append(Case(op, "inplace-part", part, lambda a, b, build=build: build(a, b, inplace=True), f, BINARY))
        rows.append(
            Case(op, "itself", (f32(5, 33, values=positive),), lambda a, b=build: b(a, a), lambda a, f=f: f(a, a))
        )
    return rows


def halves(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: f(x[..., : x.shape[-1] // 2]) * x[..., x.shape[-1] // 2 :]


def glu_cases() -> list[Case]:
    rows = []
    for op, f in (("swiglu", silu), ("geglu", gelu)):
        build = ops.OPS[op].build
        for n in (1, 15, 16, 33, 257):
            rows.append(Case(op, f"{n}", (f32(3, 2 * n),), build, halves(f)))
            rows.append(Case(op, f"gate-{n}", (f32(3, n), f32(3, n)), build, lambda x, g, f=f: f(x) * g))
        for layout in LAYOUTS:
            rows.append(Case(op, layout, (f32(3, 5, 74, layout=layout),), build, halves(f)))
            gate = (f32(3, 5, 37), f32(3, 5, 37, layout=layout))
            rows.append(Case(op, f"gate-{layout}", gate, build, lambda x, g, f=f: f(x) * g))
        rows.append(Case(op, "long-turned", (f32(2, 1026, layout="turned"),), build, halves(f)))
        rows.append(Case(op, "empty", (f32(0, 4),), build, halves(f)))
    return rows


def row_cases() -> list[Case]:
    rows = []
    for name, x in operands():
        shape, layout = x.shape, x.layout
        rows.append(Case("sum", name, (x,), ops.sum, lambda a: a.sum(keepdims=True).reshape(1)))
        rows.append(Case("sum_rows", name, (x,), ops.sum_rows, lambda a: a.sum(axis=-1, keepdims=True)))
        if shape[-1]:
            rows.append(Case("mean", name, (x,), ops.mean, lambda a: a.mean(axis=-1, keepdims=True)))
        for op, f in NORMS.items():
            if shape[-1] == 0 or (op == "norm" and shape[-1] == 1):
                continue  # nothing is left of a row of one value
            rows.append(Case(op, name, (x,), ops.OPS[op].build, lambda a, f=f: f(a, 1e-6)))
            rows.append(
                Case(op, f"{name}-eps", (x,), lambda a, op=op: ops.OPS[op].build(a, 0.5), lambda a, f=f: f(a, 0.5))
            )
        if (len(shape) <= 2 and shape[-1]) or layout == "turned":
            few = Given(shape[-2:], layout=layout, values=lambda rng, s: integers(-3, 4)(rng, s).astype(np.float32))
            rows.append(Case("argmax", name, (few,), ops.argmax, lambda a: np.atleast_2d(a).argmax(axis=-1), EXACT))
    rows.append(Case("sum", "large", (f32(301, 257, values=positive),), ops.sum, lambda a: a.sum().reshape(1)))
    return rows


def with_weights(norm: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, w, b: ops.add(ops.mul(norm(x), w), b)


CASES = (
    *unary_cases(),
    *binary_cases(),
    *glu_cases(),
    *row_cases(),
    *(
        Case("scale", name, (x,), lambda a: ops.scale(a, -1.5, 0.25), lambda a: -1.5 * a + 0.25)
        for name, x in operands()
    ),
    Case("scale", "inplace", (f32(5, 33),), lambda a: ops.scale(a, 3.0, inplace=True), lambda a: 3.0 * a),
    *(
        Case("clamp", name, (x,), lambda a: ops.clamp(a, -0.5, 0.75), lambda a: a.clip(-0.5, 0.75))
        for name, x in operands()
    ),
    *(
        Case(
            "norm",
            f"weights-{n}",
            (f32(6, n), f32(n), f32(n)),
            with_weights(ops.norm),
            lambda x, w, b: norm(x, 1e-5) * w + b,
        )
        for n in (16, 33, 257)
    ),
    *(
        Case(
            "rms_norm",
            f"weights-{n}",
            (f32(6, n), f32(n)),
            lambda x, w: ops.mul(ops.rms_norm(x), w),
            lambda x, w: rms_norm(x, 1e-6) * w,
        )
        for n in (16, 33, 257)
    ),
    Case(
        "norm",
        "weights-first",
        (f32(33), f32(1, 33)),
        lambda w, x: ops.mul(w, ops.norm(x)),
        lambda w, x: w * norm(x, 1e-5),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case) -> None:
    run(case)


def computed(y: Tensor, **options: object) -> Array:
    g = Graph()
    g.build_forward_expand(y)
    g.compute(**options)  # type: ignore[arg-type]
    return y.numpy()


@pytest.mark.parametrize("isa", usable_isas())
@pytest.mark.parametrize("op", UNARY)
def test_far_values(op: str, isa: str) -> None:
    x = np.array([0, 1e-30, 1e4, 3e38, np.inf], np.float32)
    if op not in ("log", "sqrt"):
        x = np.concatenate([-x[:-1], x])
    with np.errstate(all="ignore"):
        want = UNARY[op](x.astype(np.float64)).astype(np.float32)
    if op == "gelu":
        want[x == -3e38] = 0  # whose cube is past float64's tanh, not past zero
    got = computed(ops.OPS[op].build(Context().tensor(x)), isa=isa)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


def test_norms_of_equal_values() -> None:
    x = Context().tensor(np.stack([np.zeros(33), np.full(33, 5)]).astype(np.float32))
    assert computed(ops.norm(x)).tolist() == [[0.0] * 33] * 2
    np.testing.assert_allclose(computed(ops.rms_norm(x)), [[0.0] * 33, [1.0] * 33], rtol=1e-6)
    np.testing.assert_allclose(computed(ops.l2_norm(x)), [[0.0] * 33, [33**-0.5] * 33], rtol=1e-6)
