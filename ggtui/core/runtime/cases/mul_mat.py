"""Cases of matrix multiplication: types, packed and not, odd sizes, broadcast, strides, and what is fused into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases.base import (
    BLOCKS,
    DEFAULT,
    FLOATS,
    LAYOUTS,
    MUL_MAT,
    Case,
    Given,
    Shape,
    f32,
    packable,
    whole,
)

# (k, m, n): rows around a tile of 16, columns one and several
FLOAT_SIZES = ((1, 1, 1), (15, 16, 2), (17, 15, 1), (33, 17, 7), (16, 1, 33), (257, 33, 3), (40, 257, 1))
BLOCK_SIZES = ((32, 1, 1), (64, 15, 2), (96, 16, 7), (256, 17, 1), (32, 33, 33), (64, 257, 3))
# The known exception: of a result of one number (m = n = 1) with k = 32 nothing evens out what rounding the activations
# to 8 bits costs, and where the sum nearly cancels it costs much. These two exceed the bound of the others.
LONE = {"q5_0": 10 * MUL_MAT, "q5_k": 10 * MUL_MAT}

KINDS = (("f32", False), ("f16", True), ("q8_0", True), ("q4_0", True))
ACTIVATIONS = ("relu", "gelu", "gelu_erf", "gelu_quick", "silu")


def kind(type: str, packed: bool) -> str:
    return f"{type}{'-packed' if packed else ''}"


def bound_of(type: str) -> float:
    return MUL_MAT if type in BLOCKS else DEFAULT


def kinds() -> Iterator[tuple[str, bool]]:
    """Every type of weights, plain and, where it can be, packed."""
    for type in (*FLOATS, *BLOCKS):
        yield type, False
        if packable(type):
            yield type, True


def product(name: str, a: Given, b: Given, bound: float, *, timed: bool = False) -> Case:
    return Case("mul_mat", name, {"a": a, "b": b}, ops.mul_mat, bound, timed)


def sizes() -> Iterator[Case]:
    for type, packed in kinds():
        for k, m, n in BLOCK_SIZES if type in BLOCKS else FLOAT_SIZES:
            a, b = Given((m, whole(type, k)), type, packed), f32(n, whole(type, k))
            lone = LONE.get(type) if packed and m * n == 1 else None
            yield product(f"{kind(type, packed)}-{k}-{m}-{n}", a, b, lone or bound_of(type))


def large() -> Iterator[Case]:
    """A token's product and a batch's."""
    for type, packed in kinds():
        if packed or not packable(type):
            for name, n in (("token", 1), ("batch", 64)):
                a, b = Given((1024, 1024), type, packed), f32(n, 1024)
                yield product(f"{name}-{kind(type, packed)}", a, b, bound_of(type), timed=True)


def shapes() -> Iterator[Case]:
    named: tuple[tuple[str, Shape, Shape], ...] = (
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
    )
    for type, packed in (("f32", False), ("f32", True), ("f16", True), ("q8_0", False), ("q8_0", True)):
        for name, a, b in named:
            yield product(f"{name}-{kind(type, packed)}", Given(a, type, packed), f32(*b), bound_of(type))


def strides() -> Iterator[Case]:
    for layout in LAYOUTS:
        for type in FLOATS:
            yield product(f"{layout}-{type}", Given((3, 17, 33), type, layout=layout), f32(3, 5, 33), DEFAULT)
        b = f32(3, 35, 33, layout=layout)
        yield product(f"second-{layout}", f32(3, 17, 33), b, DEFAULT)
        if layout != "turned":  # packed weights need rows without gaps
            for type in ("f16", "q4_0"):
                a, b = Given((3, 17, 64), type, packed=True), f32(3, 5, 64, layout=layout)
                yield product(f"second-{layout}-{type}", a, b, bound_of(type))
    yield product("both-turned", f32(17, 33, layout="turned"), f32(5, 33, layout="turned"), DEFAULT)
    permuted = Given((3, 17, 64), "q8_0", layout="permuted")
    yield product("blocks-permuted", permuted, f32(3, 5, 64), MUL_MAT)
    # More columns than stay in the cache at once.
    yield product("many-columns", Given((33, 257), "f32", packed=True), f32(521, 257), DEFAULT)


# Rows so long that weights which are not packed are packed by slices, of 512 at most.
SLICED = (512, 513, 700, 1030, 1537)
LONG = 700


def slices() -> Iterator[Case]:
    """Of weights that are not packed: long rows, both operands in every layout, and many columns."""
    for k in SLICED:
        yield product(f"sliced-{k}", f32(35, k), f32(5, k), DEFAULT)
        turned = f32(35, k, layout="turned"), f32(13, k, layout="turned")
        yield product(f"sliced-{k}-both-turned", *turned, DEFAULT)
    for type in ("f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"):
        for k in (768, 1280):
            yield product(f"sliced-{type}-{k}", Given((35, k), type), f32(5, k), bound_of(type))
            yield product(f"sliced-{type}-{k}-turned", Given((35, k), type), f32(5, k, layout="turned"), bound_of(type))
    yield product("sliced-q8_0-permuted", Given((3, 17, 1056), "q8_0", layout="permuted"), f32(3, 5, 1056), MUL_MAT)
    for layout in LAYOUTS:
        a, b = f32(3, 35, LONG, layout=layout), f32(3, 13, LONG, layout=layout)
        yield product(f"sliced-{layout}", a, f32(3, 13, LONG), DEFAULT)
        yield product(f"sliced-second-{layout}", f32(3, 35, LONG), b, DEFAULT)
        yield product(f"sliced-both-{layout}", a, b, DEFAULT)
        yield product(f"sliced-f16-{layout}", Given((3, 35, LONG), "f16", layout=layout), b, DEFAULT)
    shared: tuple[tuple[str, Shape, Shape], ...] = (
        ("3d", (2,), (6,)), ("4d", (2, 1), (4, 3)), ("one-for-all", (), (3, 2)),
    )  # fmt: skip
    for name, outer_a, outer_b in shared:
        for layout in ("plain", "turned"):
            a, b = f32(*outer_a, 35, LONG, layout=layout), f32(*outer_b, 13, LONG, layout=layout)
            yield product(f"sliced-shared-{name}-{layout}", a, b, DEFAULT)
    for k, m, n in ((40, 35, 253), (LONG, 35, 300), (33, 257, 505), (17, 1, 252)):
        for layout in ("plain", "turned"):
            yield product(f"columns-{k}-{m}-{n}-{layout}", f32(m, k), f32(n, k, layout=layout), DEFAULT)
            yield product(f"columns-{k}-{m}-{n}-turned-{layout}", f32(m, k, layout="turned"),
                          f32(n, k, layout=layout), DEFAULT)  # fmt: skip
    yield product("no-sum-both-turned", f32(17, 0, layout="turned"), f32(5, 0, layout="turned"), DEFAULT)
    both = f32(1024, 1024, layout="turned"), f32(256, 1024, layout="turned")
    yield product("batch-both-turned", *both, DEFAULT, timed=True)


# (name, operands beside a and b, what is built): neighbours that become one node with the product
FUSED: tuple[tuple[str, tuple[str, ...], Callable[..., Tensor]], ...] = (
    ("bias", ("bias",), lambda a, b, bias: ops.add(ops.mul_mat(a, b), bias)),
    ("residual", ("residual",), lambda a, b, residual: ops.add(residual, ops.mul_mat(a, b))),
    (
        "bias-residual",
        ("bias", "residual"),
        lambda a, b, bias, residual: ops.add(ops.add(ops.mul_mat(a, b), bias), residual),
    ),
    (
        "norm",
        ("norm_weight", "norm_bias"),
        lambda a, b, norm_weight, norm_bias: ops.mul_mat(
            a, ops.add(ops.mul(ops.norm(b, 1e-3), norm_weight), norm_bias)
        ),
    ),
    ("norm-alone", (), lambda a, b: ops.mul_mat(a, ops.norm(b))),
    (
        "rms_norm-activation-residual",
        ("norm_weight", "bias", "residual"),
        lambda a, b, norm_weight, bias, residual: ops.add(
            ops.silu(ops.add(ops.mul_mat(a, ops.mul(ops.rms_norm(b), norm_weight)), bias)), residual
        ),
    ),
)


def fused() -> Iterator[Case]:
    for type, packed in KINDS:
        for n in (1, 9):
            where, bound = f"{kind(type, packed)}-{n}", bound_of(type)
            both = {"a": Given((33, 64), type, packed), "b": f32(n, 64)}
            more = {
                "bias": f32(33), "residual": f32(n, 33), "norm_weight": f32(64), "norm_bias": f32(64),
            }  # fmt: skip
            for name, names, build in FUSED:
                given: Mapping[str, Given] = both | {key: more[key] for key in names}
                yield Case("mul_mat", f"{name}-{where}", given, build, bound)
            for activation in ACTIVATIONS:
                given = both | {"bias": more["bias"]}
                yield Case("mul_mat", f"{activation}-{where}", given, _activated(activation), bound)
    for layout in ("plain", "turned"):
        both = {"a": f32(33, LONG, layout=layout), "b": f32(9, LONG, layout=layout)}
        more = {
            "bias": f32(33), "residual": f32(9, 33), "norm_weight": f32(LONG), "norm_bias": f32(LONG),
        }  # fmt: skip
        for name, names, build in FUSED:
            given = both | {key: more[key] for key in names}
            yield Case("mul_mat", f"sliced-{name}-{layout}", given, build)
        for activation in ACTIVATIONS:
            given = both | {"bias": more["bias"]}
            yield Case("mul_mat", f"sliced-{activation}-{layout}", given, _activated(activation))
    for layout in ("part", "turned"):
        given = {"a": f32(33, 64), "b": f32(9, 64), "residual": f32(9, 33, layout=layout)}
        yield Case("mul_mat", f"residual-{layout}", given, lambda a, b, residual: ops.add(ops.mul_mat(a, b), residual))
    itself = {"a": Given((33, 33), "f16", packed=True), "b": f32(9, 33)}
    yield Case("mul_mat", "residual-itself", itself, lambda a, b: ops.add(ops.mul_mat(a, b), b))


def _activated(activation: str) -> Callable[..., Tensor]:
    return lambda a, b, bias: ops.OPS[activation].build(ops.add(ops.mul_mat(a, b), bias))


CASES = (*sizes(), *shapes(), *strides(), *slices(), *fused(), *large())
