"""Shapes and types that do not fit are refused when an op is built, by a message that names the op and its operands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.graph.dim import Dim

Refused = tuple[str, Callable[[], Tensor], str]  # op, how it is built, what the message says

UNARY = ("sqr", "sqrt", "neg", "log", "exp", "relu", "tanh", "sigmoid", "silu", "gelu", "gelu_erf", "gelu_quick")
BINARY = ("add", "sub", "mul", "div")


def f(*ne: int, type: str = "f32", name: str = "", packed: bool = False) -> Tensor:
    return Context().new_tensor(type, ne, name, packed=packed)


def i(*ne: int, name: str = "") -> Tensor:
    return Context().new_tensor("i32", ne, name)


N = Dim("n", 8)

ELEMENTWISE: tuple[Refused, ...] = (
    ("swiglu", lambda: ops.swiglu(f(3, 2)), r"even.* f32 \(3, 2\)"),
    ("geglu", lambda: ops.geglu(f(N, 2)), "even"),
    ("geglu", lambda: ops.geglu(f(4, name="x"), f(5, name="gate")), r"x f32 \(4\) and gate f32 \(5\)"),
    ("mean", lambda: ops.mean(f(0, 2)), "an empty row"),
    ("argmax", lambda: ops.argmax(f(2, 3, 4)), "needs a matrix"),
    ("argmax", lambda: ops.argmax(f(0, 3)), "needs a matrix"),
    ("clamp", lambda: ops.clamp(f(2), 1.0, 0.0), "low 1.0 is above high 0.0"),
    ("norm", lambda: ops.norm(f(2), -1.0), "eps -1.0"),
    ("add", lambda: ops.add(ops.transpose(f(4, 4)), f(4), inplace=True), "without gaps"),
    ("relu", lambda: ops.relu(ops.transpose(f(4, 4)), inplace=True), "without gaps"),
)

SHAPE: tuple[Refused, ...] = (
    ("view", lambda: ops.view(f(4, 3), (4, 4)), "reach past"),
    ("view", lambda: ops.view(f(4, 3), (4, 3), offset=4), "reach past"),
    ("view", lambda: ops.view(f(4, 3), (2, 3), (24,)), "reach past"),
    ("view", lambda: ops.view(f(4, 3), (2, 1), offset=-4), "negative"),
    ("view", lambda: ops.view(f(4, 3), (2, 2), (-4,)), "negative"),
    ("view", lambda: ops.view(f(4, 3), (2, 2), (6,)), "not whole blocks"),
    ("view", lambda: ops.view(f(4, 3), (2, 2), offset=2), "not whole blocks"),
    ("view", lambda: ops.view(f(64, type="q8_0"), (33,)), "cuts a block"),
    ("view", lambda: ops.view(f(4, 3), (1, 1, 1, 1, 1)), "1 to 4"),
    ("view", lambda: ops.view(f(4, 3), (2, -1)), "negative"),
    ("view", lambda: ops.view(f(32, 20, type="q8_0", packed=True), (32, 4), offset=34), "only the first rows"),
    ("reshape", lambda: ops.reshape(f(4, 3), 5, 2), r"10 elements .* f32 \(4, 3\)"),
    ("reshape", lambda: ops.reshape(ops.transpose(f(4, 3)), 12), "contiguous"),
    ("reshape", lambda: ops.reshape(f(4, N), 4, 8), "elements"),
    ("reshape", lambda: ops.reshape(f(4, N, 2), 8, N), "outermost"),
    ("permute", lambda: ops.permute(f(4, 3), 0, 1, 1, 2), "no permutation"),
    ("permute", lambda: ops.permute(f(32, 3, type="q8_0"), 1, 0, 2, 3), "blocks can't be turned"),
    ("transpose", lambda: ops.transpose(f(32, 3, type="q4_0")), "blocks can't be turned"),
    ("transpose", lambda: ops.transpose(f(32, 3, packed=True)), "turned"),
    ("dup", lambda: ops.dup(f(32, 3, packed=True)), "packed"),
    ("dup", lambda: ops.cast(f(33, 3), "q8_0"), "no whole number"),
    ("cont", lambda: ops.cont(f(32, 3, packed=True)), "packed"),
    ("cpy", lambda: ops.cpy(f(4, name="a"), f(5, name="b")), r"a f32 \(4\) and b f32 \(5\)"),
    ("cpy", lambda: ops.cpy(f(4, N), f(4, 8)), "different numbers"),
    ("cpy", lambda: ops.cpy(f(4, 3), ops.transpose(f(4, 3))), "without gaps"),
    ("repeat", lambda: ops.repeat(f(4, name="a"), f(6, name="b")), r"a f32 \(4\) and b f32 \(6\)"),
    ("repeat", lambda: ops.repeat(f(4, type="f16"), f(8)), "plain f32"),
    ("repeat", lambda: ops.repeat(f(N), f(8)), "no multiple"),
    ("concat", lambda: ops.concat(f(4, 3, name="a"), f(4, 2, name="b"), 0), r"a f32 \(4, 3\) and b f32 \(4, 2\)"),
    ("concat", lambda: ops.concat(f(4), f(4, type="f16")), "needs two of"),
    ("concat", lambda: ops.concat(f(4), f(4), 4), "dim 4"),
    ("concat", lambda: ops.concat(f(4), f(4), 0.0), "dim 0.0 must be a whole number"),
    ("permute", lambda: ops.permute(f(4), 0.0, 1, 2, 3), "axis 0.0 must be a whole number"),
    ("view", lambda: ops.view(f(4, 3), (4, 2), (16.0,)), "must be whole numbers"),
    ("view", lambda: ops.view(f(4, 3), (4, 2), (), 16.0), "must be whole numbers"),
    ("concat", lambda: ops.concat(f(4, N), f(4, 3), 1), "varies"),
    ("get_rows", lambda: ops.get_rows(f(4, 3, name="a"), f(2, name="b")), r"i32; given a f32 \(4, 3\) and b f32 \(2\)"),
    ("get_rows", lambda: ops.get_rows(f(4, 3, 2), f(2, type="i32")), "outer sizes"),
    ("set_rows", lambda: ops.set_rows(f(4, 3), f(4, 2), f(3, type="i32")), "an i32 index a row"),
    (
        "set_rows",
        lambda: ops.set_rows(f(4, 3, name="a"), f(5, 2, name="b"), f(2, type="i32")),
        r"a f32 \(4, 3\) and b f32",
    ),
    ("set_rows", lambda: ops.set_rows(f(4, 3, 4), f(4, 2, 4), f(2, 3, type="i32")), "don't fit"),
    ("set_rows", lambda: ops.set_rows(f(4, 3, 4), f(4, 2, 4), f(2, 0, type="i32")), "don't fit"),
    ("set_rows", lambda: ops.set_rows(f(4, 3), f(4, 2), f(2, 1, 1, 2, type="i32")), "don't fit"),
    ("set_rows", lambda: ops.set_rows(f(4, 3), f(4, 2, type="f16"), f(2, type="i32")), "plain f32"),
    ("set_rows", lambda: ops.set_rows(f(32, 3, type="q4_0", packed=True), f(32, 2), f(2, type="i32")), "packed blocks"),
    ("set_rows", lambda: ops.set_rows(ops.transpose(f(3, 4)), f(4, 2), f(2, type="i32")), "without gaps"),
)

ATTENTION: tuple[Refused, ...] = (
    ("rope", lambda: ops.rope(f(8, 2, 1), i(1), n_dims=4.0), "n_dims 4.0 must be a whole number"),
    ("diag_mask_inf", lambda: ops.diag_mask_inf(f(3, 3), 1.5), "n_past 1.5 must be a whole number"),
    ("diag_mask_inf", lambda: ops.diag_mask_inf(f(3, 3), float("nan")), "n_past nan must be a whole number"),
    ("diag_mask_inf", lambda: ops.diag_mask_inf(f(3, 3), 1 << 31), "does not fit into 32 bits"),
    ("map_custom", lambda: ops.map_custom(print, *[f(4)] * 7), "at most 6 sources, not 7"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3, name="a"), f(5, 2, name="b")), r"ne0.*a f32 \(4, 3\) and b f32 \(5, 2\)"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3), f(4, 2, type="f16")), "plain f32"),
    ("mul_mat", lambda: ops.mul_mat(i(4, 3), f(4, 2)), "i32"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3, 2), f(4, 2, 3)), "broadcast"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3, 0), f(4, 2, 2)), "broadcast"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3, 2), f(4, 2, N)), "broadcast"),
    ("mul_mat", lambda: ops.mul_mat(f(N, 3), f(8, 2)), "ne0"),
    ("mul_mat", lambda: ops.mul_mat(f(4, 3, packed=True), ops.transpose(f(2, 4))), "without gaps"),
    ("diag_mask_inf", lambda: ops.diag_mask_inf(f(4, 3, type="f16"), 0), "plain f32"),
    ("soft_max", lambda: ops.soft_max(f(4, 3), i(4, 3)), "f32 or f16"),
    (
        "soft_max",
        lambda: ops.soft_max(f(4, 3, name="x"), f(4, 2, name="mask")),
        r"x f32 \(4, 3\) and mask f32 \(4, 2\)",
    ),
    ("soft_max", lambda: ops.soft_max(f(4, 3), f(5, 3)), "does not cover"),
    ("soft_max", lambda: ops.soft_max(f(4, 3, 4), f(4, 3, 3)), "does not cover"),
    ("soft_max", lambda: ops.soft_max(f(4, 3, 4), f(4, 3, 0)), "does not cover"),
    ("soft_max", lambda: ops.soft_max(f(4, 3), f(4, N)), "does not cover"),
    ("soft_max", lambda: ops.soft_max(f(N, 3), f(8, 3)), "does not cover"),
    ("soft_max", lambda: ops.soft_max(f(4, 3), ops.transpose(f(3, 4))), "without gaps"),
    ("soft_max", lambda: ops.soft_max(f(4, 3), max_bias=8.0), "needs a mask"),
    ("soft_max", lambda: ops.soft_max(f(4, 3, 2), sinks=f(3)), "a sink for each head"),
    ("soft_max", lambda: ops.soft_max(f(4, 3), f(4, 3, type="f16", packed=True)), "f32 or f16"),
    ("rope", lambda: ops.rope(f(4, 2, 3, name="q"), i(2, name="at")), r"q f32 \(4, 2, 3\) and at i32 \(2\)"),
    ("rope", lambda: ops.rope(f(4, 2, 3), f(3)), "an i32 position a token"),
    ("rope", lambda: ops.rope(f(4, 2, N), i(8)), "an i32 position a token"),
    ("rope", lambda: ops.rope(f(5, 2, 3), i(3)), "n_dims 5"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), n_dims=6), "n_dims 6"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), n_dims=0), "n_dims 0"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), mode="other"), "mode 'other'"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), mode="mrope", sections=(1, 1, 0, 0)), "in each of 4 rows"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3, 4), mode="mrope", sections=(1, 1, 0)), r"sections \(1, 1, 0\)"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3, 4), mode="mrope", sections=(0, 0, 0, 0)), "sections"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), sections=(1, 1, 0, 0)), "don't go with mode 'normal'"),
    ("rope", lambda: ops.rope(f(8, 2, 3), i(3, 4), n_dims=2, mode="vision", sections=(1, 1, 0, 0)), "half a row"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), ext_factor=1.0), "needs n_ctx_orig"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), freq_base=0.0), "must be above 0"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), freq_factors=f(2), freq_scale=-1.0), "must be above 0"),
    ("rope", lambda: ops.rope(f(4, 2, 3), i(3), freq_factors=f(3)), "frequency factor for each"),
    (
        "flash_attn_ext",
        lambda: ops.flash_attn_ext(f(4, 2, name="q"), f(5, 3, name="k"), f(4, 3)),
        r"q f32 \(4, 2\) and k f32",
    ),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 3, type="f16")), "both be f32 or both f16"),
    (
        "flash_attn_ext",
        lambda: ops.flash_attn_ext(f(32, 2), f(32, 3, type="q8_0"), f(32, 3, type="q8_0")),
        "both be f32",
    ),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 2)), "differ in number"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 8), f(4, N)), "differ in number"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2, 4), f(4, 3, 3), f(4, 3, 3)), "heads don't fit"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2, 4), f(4, 3, 0), f(4, 3, 0)), "heads don't fit"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2, 1, 2), f(4, 3), f(4, 3)), "heads don't fit"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), ops.transpose(f(3, 4))), "without gaps"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 3, packed=True)), "without gaps"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 3), f(3, 1)), "does not cover"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 3), i(3, 2)), "f32 or f16"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2), f(4, 3), f(4, 3), max_bias=1.0), "needs a mask"),
    ("flash_attn_ext", lambda: ops.flash_attn_ext(f(4, 2, 2), f(4, 3), f(4, 3), sinks=f(3)), "a sink for each head"),
    ("map_custom", lambda: ops.map_custom(print), "needs a source or sizes"),
    ("map_custom", lambda: ops.map_custom(print, f(32, type="q8_0")), "sources must be"),
    ("map_custom", lambda: ops.map_custom(print, f(32, type="bf16")), "sources must be"),
    ("map_custom", lambda: ops.map_custom(print, f(32, packed=True)), "sources must be"),
    ("map_custom", lambda: ops.map_custom(print, f(32), type="q8_0"), "the result must be"),
)


def back(q: Tensor, k: Tensor, v: Tensor, g: Tensor, mask: Tensor | None = None) -> Tensor:
    return ops.flash_attn_back(q, k, v, mask, g)


GRADIENTS: tuple[Refused, ...] = (
    ("after", lambda: ops.after(i(3), f(3)), "plain f32"),
    ("acc", lambda: ops.acc(f(4, 3), f(4, 3, type="f16"), (16, 48, 48)), "plain f32"),
    ("acc", lambda: ops.acc(ops.transpose(f(3, 4)), f(2), (8, 8, 8)), "contiguous"),
    (
        "acc",
        lambda: ops.acc(f(4, 3, name="a"), f(2, 2, name="b"), (4, 16, 16)),
        r"more than once; given a f32 .* and b",
    ),
    ("acc", lambda: ops.acc(f(4, 3), f(2, 2), (0, 0, 0)), "more than once"),
    ("view", lambda: ops.acc(f(4, 3), f(4, 3), (16, 48, 48), 4), "reach past"),
    ("view", lambda: ops.acc(f(4, 3), f(2), (8, 8, 8), -4), "negative"),
    ("view", lambda: ops.acc(f(4, 3), f(2), (8, 8, 8), 2), "not whole blocks"),
    ("add_rows", lambda: ops.add_rows(f(4, 3), f(4, 2), f(2)), "indices must be i32"),
    ("add_rows", lambda: ops.add_rows(f(4, 3, name="a"), f(5, 2, name="b"), i(2)), r"a f32 \(4, 3\) and b f32 \(5, 2"),
    ("add_rows", lambda: ops.add_rows(f(4, 3, 2), f(4, 2), i(2)), "only the number of rows"),
    ("add_rows", lambda: ops.add_rows(f(4, 3), f(4, 2), i(3)), "an index a row"),
    ("add_rows", lambda: ops.add_rows(f(4, 3, 2), f(4, 2, 2), i(2)), "an index a row"),
    ("add_rows", lambda: ops.add_rows(ops.transpose(f(3, 4)), f(4, 2), i(2)), "without gaps"),
    ("repeat_back", lambda: ops.repeat_back(f(4, name="g"), f(3, name="x")), r"g f32 \(4\) and x f32 \(3\)"),
    ("repeat_back", lambda: ops.repeat_back(f(2), f(4)), "no multiple"),
    ("repeat_back", lambda: ops.repeat_back(f(4, type="f16"), f(2)), "plain f32"),
    *(
        (
            op,
            lambda op=op, more=more: ops.OPS[op].build(f(4, 3, name="g"), f(4, 2, name="x"), *more),
            "sizes differ; given g",
        )
        for op, more in (
            ("relu_back", ()),
            ("silu_back", ()),
            ("gelu_back", ()),
            ("gelu_erf_back", ()),
            ("gelu_quick_back", ()),
            ("clamp_back", (0.0, 1.0)),
            ("norm_back", (0.1,)),
            ("rms_norm_back", (0.1,)),
            ("l2_norm_back", (0.1,)),
            ("soft_max_back", ()),
        )
    ),
    ("silu_back", lambda: ops.silu_back(f(4, name="g"), f(4, type="f16", name="x")), "plain f32; given x f16"),
    ("rms_norm_back", lambda: ops.rms_norm_back(f(4), f(4), -1.0), "eps -1.0"),
    ("diag_mask_zero", lambda: ops.diag_mask_zero(f(3, 3), 1.5), "n_past 1.5 must be a whole number"),
    ("cross_entropy", lambda: ops.cross_entropy(f(4, 3), f(3)), "contiguous i32"),
    ("cross_entropy", lambda: ops.cross_entropy(f(4, 3, 2), ops.transpose(i(2, 3))), "contiguous i32"),
    (
        "cross_entropy",
        lambda: ops.cross_entropy(f(4, 3, name="x"), i(2, name="at")),
        r"a target a row; given x .* at i32",
    ),
    ("cross_entropy", lambda: ops.cross_entropy(f(0, 3), i(3)), "an empty row"),
    ("cross_entropy_back", lambda: ops.cross_entropy_back(f(2), f(4, 3), i(3)), "a contiguous number a row"),
    (
        "cross_entropy_back",
        lambda: ops.cross_entropy_back(ops.transpose(f(3, 2)), f(4, 2, 3), i(2, 3)),
        "contiguous num",
    ),
    ("flash_attn_back", lambda: back(f(4, 2, name="q"), f(5, 3, name="k"), f(4, 3), f(4, 1, 2)), "q f32 .* and k f32"),
    ("flash_attn_back", lambda: back(f(4, 2, 4), f(4, 3, 3), f(4, 3, 3), f(4, 4, 2)), "heads don't fit"),
    ("flash_attn_back", lambda: back(f(4, 2, 4), f(4, 3, 0), f(4, 3, 0), f(4, 4, 2)), "heads don't fit"),
    ("flash_attn_back", lambda: back(f(4, 2, 1, 2), f(4, 3), f(4, 3), f(4, 1, 2, 2)), "heads don't fit"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3), f(4, 2), f(4, 1, 2)), "differ in number"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3), f(6, 3), f(4, 1, 2)), "not that of the result"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3), f(4, 3), ops.permute(f(2, 1, 4), 2, 1, 0, 3)), "without gaps"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3, type="f16"), f(4, 3), f(4, 1, 2)), "plain f32"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3), f(4, 3), f(4, 1, 2), f(3, 1)), "does not cover"),
    ("flash_attn_back", lambda: back(f(4, 2), f(4, 3), f(4, 3), f(4, 1, 2), i(3, 2)), "f32 or f16"),
    ("flash_attn_back", lambda: back(f(4, N), f(4, 8), f(4, 8), f(4, 1, N)), "vary from run to run"),
    ("sum_sqr", lambda: ops.sum_sqr(ops.transpose(f(3, 4))), "contiguous"),
    ("sum_sqr", lambda: ops.sum_sqr(f(3, 4), f(2)), "room for 1 sums"),
    *(
        (op, lambda build=build, n=n, more=more: build(f(5, n), *more()), words)
        for op, build, n in (("opt_step_adamw", ops.opt_step_adamw, 3), ("opt_step_sgd", ops.opt_step_sgd, 2))
        for more, words in (
            (lambda: (f(4), f(8), f(1)), "rows of state a gradient"),
            (lambda: (f(5), f(7), f(1)), "needs 8 rates"),
            (lambda: (f(5), f(8), f(2)), "needs one sum of squares"),
            (lambda: (f(5, type="f16"), f(8), f(1)), "plain f32"),
        )
    ),
    ("opt_step_adamw", lambda: ops.opt_step_adamw(f(5, 2), f(5), f(8), f(1)), "needs 3 rows of state"),
    ("opt_step_sgd", lambda: ops.opt_step_sgd(f(5, 3), f(5), f(8), f(1)), "needs 2 rows of state"),
)


def test_a_step_that_would_move_its_own_gradient_is_refused() -> None:
    state = f(5, 2)
    with pytest.raises(ShapeError, match="would overwrite what it reads"):
        ops.opt_step_sgd(state, ops.view(state, (5,)), f(8), f(1))


ROWS = (*ELEMENTWISE, *SHAPE, *ATTENTION, *GRADIENTS)


@pytest.mark.parametrize(("op", "build", "words"), ROWS, ids=[f"{op}-{words}" for op, _, words in ROWS])
def test_what_does_not_fit(op: str, build: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(ShapeError, match=words) as error:
        build()
    assert str(error.value).startswith(f"{op}: ")


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 3), (3,)),
        ((4, 3), (4, 2)),
        ((1,), (4,)),
        ((4, 0), (4, 1, 2)),
        ((4,), (0,)),
        ((8,), (Dim("n", 4),)),
        ((Dim("n", 8),), (4,)),
        ((Dim("n", 8),), (Dim("m", 8),)),
    ],
)
def test_operands_that_do_not_fit(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"^{op}: .*; given one f32 \(.*\) and two f32 \("):
        ops.OPS[op].build(f(*a, name="one"), f(*b, name="two"))


@pytest.mark.parametrize(
    "op",
    [
        *UNARY,
        *BINARY,
        "norm",
        "rms_norm",
        "l2_norm",
        "scale",
        "clamp",
        "swiglu",
        "geglu",
        "sum",
        "sum_rows",
        "mean",
        "argmax",
    ],
)
def test_only_plain_f32(op: str) -> None:
    more: dict[str, tuple[object, ...]] = {"scale": (2.0,), "clamp": (0.0, 1.0)} | {op: (f(32, 2),) for op in BINARY}
    for t in (i(32, 2, name="x"), f(32, 2, name="x", type="f16"), f(32, 2, name="x", packed=True)):
        with pytest.raises(ShapeError, match=rf"^{op}: needs plain f32; given x "):
            ops.OPS[op].build(t, *more.get(op, ()))


def test_a_type_that_is_none() -> None:
    with pytest.raises(UsageError, match="f33"):
        ops.cast(f(4), "f33")


def test_more_queries_than_positions_cannot_be_causal() -> None:
    q, k = (Context().tensor(np.ones((1, n, 4), np.float32)) for n in (3, 2))
    g = Graph()
    g.build_forward_expand(ops.flash_attn_ext(q, k, k, causal=True))
    with pytest.raises(GgtuiError, match="3 queries for 2 positions"):
        g.compute(threads=2)
