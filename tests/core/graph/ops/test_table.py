"""Every op has rows in the tests' table, and Python and C know the same ops."""

from __future__ import annotations

import test_attention
import test_elementwise
import test_map_custom
import test_mul_mat
import test_shape

from ggtui.core.graph.ops import OP_NUMBERS, OPS
from ggtui.core.runtime.cpu.native import lib, text

CASES = (
    *test_elementwise.CASES,
    *test_shape.CASES,
    *test_mul_mat.CASES,
    *test_attention.CASES,
    *test_map_custom.CASES,
)
INTERNAL = {"none", "quantize"}  # data that is simply there; the first part of some mul_mat nodes


def test_every_op_has_rows() -> None:
    assert {case.op for case in CASES} == set(OPS)


def test_rows_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


def test_python_and_c_know_the_same_ops() -> None:
    names = [text(lib.gg_op_name(i)) for i in range(lib.gg_n_ops())]
    assert set(names) == set(OPS) | INTERNAL
    assert {names[op.number]: op.name for op in OPS.values()} == {name: name for name in OPS}
    assert {name: i for i, name in enumerate(names)} == OP_NUMBERS
    assert all(op.name == name for name, op in OPS.items())
    assert text(lib.gg_op_name(lib.gg_n_ops())) == ""


def test_ops_that_only_look_move_no_data() -> None:
    assert {op.name for op in OPS.values() if not op.moves_data} == {"view", "reshape", "permute", "transpose"}
