"""Every op in numpy, in float64 and the plain way: what the ops mean. Devices are checked against these.

    def name(params: Params, *src: Array | None) -> Array

`params` are the op's op_params as its builder stores them; a source that is absent is None. The result is float64 (or
int32) in the run's sizes; a device rounds it to the type of the tensor. Ops that write into memory they were given
return what that memory holds afterwards.

A docstring's first paragraph has the formula, its second the sizes of the sources and of the result, ne0 first; `ggtui
ops` shows them.
"""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.graph.ops.in_numpy import attention, elementwise, shape
from ggtui.core.graph.ops.in_numpy.arrays import Array, Params

# Not here: view, reshape, permute and transpose, which only look at memory another way, and map_custom, whose function
# is the user's.
REFERENCE: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        shape.dup, shape.cont, shape.cpy, shape.repeat, shape.concat, shape.get_rows, shape.set_rows,
        elementwise.add, elementwise.sub, elementwise.mul, elementwise.div, elementwise.scale, elementwise.clamp,
        elementwise.sqr, elementwise.sqrt, elementwise.neg, elementwise.log, elementwise.exp, elementwise.relu,
        elementwise.tanh, elementwise.sigmoid, elementwise.silu, elementwise.gelu, elementwise.gelu_erf,
        elementwise.gelu_quick, elementwise.swiglu, elementwise.geglu, elementwise.sum, elementwise.sum_rows,
        elementwise.mean, elementwise.argmax, elementwise.norm, elementwise.rms_norm, elementwise.l2_norm,
        attention.mul_mat, attention.diag_mask_inf, attention.soft_max, attention.rope, attention.flash_attn_ext,
    )
}  # fmt: skip

# These get, before their sources, what their destination holds before: for its values, or for its sizes alone.
DESTINATION_FIRST = frozenset({"cpy", "repeat", "set_rows"})

# These only move the values of their first source, and may be given whole blocks in place of values: what stays of one
# type is not decoded and encoded again.
MOVES = frozenset({"dup", "cont", "cpy", "set_rows"})

__all__ = ["DESTINATION_FIRST", "MOVES", "REFERENCE", "Array", "Params"]
