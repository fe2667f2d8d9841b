"""Every op in numpy, in float64 and the plain way: what the ops mean. Devices are checked against these.

    def name(params: Params, *src: Array | None) -> Array

`params` are the op's op_params as its builder stores them; a source that is absent is None. The result is float64 (or
int32) in the run's sizes; a device rounds it to the type of the tensor. Ops that write into memory they were given
return what that memory holds afterwards. Those that only move values may be given whole blocks in place of values: what
stays of one type is not decoded and encoded again.

A docstring's first paragraph has the formula, its second the sizes of the sources and of the result, ne0 first; `ggtui
ops` shows them. Ops that only look at memory another way have no function here, and map_custom has the user's.
"""

from ggtui.core.graph.ops.in_numpy.arrays import Array, Params

__all__ = ["Array", "Params"]
