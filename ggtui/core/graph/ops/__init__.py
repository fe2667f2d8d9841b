"""The ops: one table, and the functions that build them.

`ops.mul_mat(a, b)` checks the shapes and returns a tensor that promises the result; a graph computes it.
"""

from ggtui.core.graph.ops.attention import (
    ATTENTION_OPS,
    KV_TYPES,
    PAGE,
    diag_mask_inf,
    flash_attn_ext,
    map_custom,
    mul_mat,
    paged_attention,
    soft_max,
)
from ggtui.core.graph.ops.base import KINDS, Op
from ggtui.core.graph.ops.elementwise import (
    ELEMENTWISE_OPS,
    add,
    argmax,
    clamp,
    div,
    exp,
    geglu,
    gelu,
    gelu_erf,
    gelu_quick,
    l2_norm,
    log,
    mean,
    mul,
    neg,
    norm,
    relu,
    rms_norm,
    scale,
    sigmoid,
    silu,
    sqr,
    sqrt,
    sub,
    sum,
    sum_rows,
    swiglu,
    tanh,
)
from ggtui.core.graph.ops.rope import ROPE_OPS, rope
from ggtui.core.graph.ops.shape import (
    SHAPE_OPS,
    cast,
    concat,
    cont,
    cpy,
    dup,
    get_rows,
    permute,
    repeat,
    reshape,
    set_rows,
    transpose,
    view,
)

OPS: dict[str, Op] = {op.name: op for op in (*SHAPE_OPS, *ELEMENTWISE_OPS, *ROPE_OPS, *ATTENTION_OPS)}

__all__ = [
    "KINDS", "KV_TYPES", "OPS", "PAGE", "Op",
    "add", "argmax", "cast", "clamp", "concat", "cont", "cpy", "diag_mask_inf", "div", "dup", "exp", "flash_attn_ext",
    "geglu", "gelu", "gelu_erf", "gelu_quick", "get_rows", "l2_norm", "log", "map_custom", "mean", "mul", "mul_mat",
    "neg", "norm", "paged_attention", "permute", "relu", "repeat", "reshape", "rms_norm", "rope", "scale", "set_rows",
    "sigmoid", "silu", "soft_max", "sqr", "sqrt", "sub", "sum", "sum_rows", "swiglu", "tanh", "transpose", "view",
]  # fmt: skip
