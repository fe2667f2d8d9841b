"""Cases of the ops that work value by value or row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases.base import (
    BINARY,
    DEFAULT,
    EXACT,
    LAYOUTS,
    Array,
    Case,
    Given,
    Shape,
    f32,
    integers,
    positive,
)

UNARY = ("sqr", "sqrt", "neg", "log", "exp", "relu", "tanh", "sigmoid", "silu", "gelu", "gelu_erf", "gelu_quick")
POSITIVE = ("log", "sqrt")
BINARIES = ("add", "sub", "mul", "div")
NORMS = ("norm", "rms_norm", "l2_norm")
SHAPES = ((1,), (15,), (16,), (5, 17), (33,), (3, 2, 257), (2, 3, 4, 7), (0,), (3, 0), (0, 3))
LARGE = f32(512, 1024)
IN_PLACE = (
    ("inplace", f32(5, 33)),
    ("inplace-part", f32(5, 33, layout="part")),
    ("inplace-permuted", f32(2, 5, 33, layout="permuted")),
)


def builder(op: str) -> Callable[..., Tensor]:
    return ops.OPS[op].build


def operands() -> Iterator[tuple[str, Given]]:
    """Odd sizes laid out plainly, and one size in every layout; with a name for each."""
    for shape in SHAPES:
        yield "x".join(map(str, shape)), f32(*shape)
    for layout in LAYOUTS:
        yield layout, f32(3, 5, 37, layout=layout)


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


def unary() -> Iterator[Case]:
    for op in UNARY:
        build = builder(op)
        for name, a in operands():
            yield Case(op, name, {"a": a.of(positive) if op in POSITIVE else a}, build)
        for name, a in IN_PLACE:
            yield Case(op, name, {"a": a.of(positive)}, partial(build, inplace=True))
        yield Case(op, "large", {"a": LARGE.of(positive) if op in POSITIVE else LARGE}, build, timed=True)


def binary() -> Iterator[Case]:
    for op in BINARIES:
        build = builder(op)
        for name, a, b in PAIRS:
            yield Case(op, name, {"a": a, "b": b}, build, BINARY)
        for name, a in IN_PLACE:
            yield Case(op, name, {"a": a, "b": f32(33, values=positive)}, partial(build, inplace=True), BINARY)
        itself = {"a": f32(5, 33, values=positive)}
        yield Case(op, "itself", itself, lambda a, build=build: build(a, a))
        yield Case(op, "itself-inplace", itself, lambda a, build=build: build(a, a, inplace=True))
        yield Case(op, "large", {"a": LARGE, "b": LARGE.of(positive)}, build, BINARY, timed=True)


def scale_and_clamp() -> Iterator[Case]:
    for name, a in operands():
        yield Case("scale", name, {"a": a}, partial(ops.scale, s=-1.5, b=0.25))
        yield Case("clamp", name, {"a": a}, partial(ops.clamp, low=-0.5, high=0.75))
    for name, a in IN_PLACE:
        yield Case("scale", name, {"a": a}, partial(ops.scale, s=3.0, inplace=True))
    yield Case("scale", "large", {"a": LARGE}, partial(ops.scale, s=-1.5, b=0.25), timed=True)
    yield Case("clamp", "large", {"a": LARGE}, partial(ops.clamp, low=-0.5, high=0.75), timed=True)


def gated() -> Iterator[Case]:
    for op in ("swiglu", "geglu"):
        build = builder(op)
        for n in (1, 15, 16, 33, 257):
            yield Case(op, f"{n}", {"a": f32(3, 2 * n)}, build)
            yield Case(op, f"gate-{n}", {"a": f32(3, n), "gate": f32(3, n)}, build)
        for layout in LAYOUTS:
            yield Case(op, layout, {"a": f32(3, 5, 74, layout=layout)}, build)
            yield Case(op, f"gate-{layout}", {"a": f32(3, 5, 37), "gate": f32(3, 5, 37, layout=layout)}, build)
        yield Case(op, "long-turned", {"a": f32(2, 1026, layout="turned")}, build)
        yield Case(op, "empty", {"a": f32(0, 4)}, build)
        yield Case(op, "large", {"a": LARGE, "gate": LARGE}, build, timed=True)


def few_values(rng: np.random.Generator, shape: Shape) -> Array:
    """Many of them equal."""
    return integers(-3, 4)(rng, shape).astype(np.float32)


def rows() -> Iterator[Case]:
    for name, a in operands():
        shape, layout = a.shape, a.layout
        yield Case("sum", name, {"a": a}, ops.sum)
        yield Case("sum_rows", name, {"a": a}, ops.sum_rows)
        if shape[-1]:
            yield Case("mean", name, {"a": a}, ops.mean)
        for op in NORMS:
            if shape[-1] == 0 or (op == "norm" and shape[-1] == 1):
                continue  # nothing is left of a row of one value
            for title, eps in ((name, 1e-6), (f"{name}-eps", 0.5)):
                yield Case(op, title, {"a": a}, partial(builder(op), eps=eps))
        if (len(shape) <= 2 and shape[-1]) or layout == "turned":
            few = Given(shape[-2:], layout=layout, values=few_values)
            yield Case("argmax", name, {"a": few}, ops.argmax, EXACT)
    yield Case("sum", "many", {"a": f32(301, 257, values=positive)}, ops.sum)
    # A sum of as many of either sign nearly cancels.
    yield Case("sum", "large", {"a": LARGE.of(positive)}, ops.sum, timed=True)
    for op in ("sum_rows", "mean", *NORMS):
        yield Case(op, "large", {"a": LARGE}, builder(op), timed=True)
    yield Case("argmax", "large", {"a": LARGE}, ops.argmax, EXACT, timed=True)


def norms_with_weights() -> Iterator[Case]:
    """Neighbours that become one node with the norm."""
    for n in (16, 33, 257):
        given = {"a": f32(6, n), "weight": f32(n), "bias": f32(n)}
        yield Case("norm", f"weights-{n}", given, _norm_with_weights, DEFAULT)
        given = {"a": f32(6, n), "weight": f32(n)}
        yield Case("rms_norm", f"weights-{n}", given, lambda a, weight: ops.mul(ops.rms_norm(a), weight))
    first = {"weight": f32(33), "a": f32(1, 33)}
    yield Case("norm", "weights-first", first, lambda weight, a: ops.mul(weight, ops.norm(a)))


def _norm_with_weights(a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.add(ops.mul(ops.norm(a), weight), bias)


CASES = (*unary(), *binary(), *scale_and_clamp(), *gated(), *rows(), *norms_with_weights())
