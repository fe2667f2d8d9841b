"""Every op has rows in the tests' table, and Python and C know the same ops."""

from __future__ import annotations

import test_attention
import test_elementwise
import test_map_custom
import test_mul_mat
import test_shape

from ggtui.core.graph.ops import KINDS, OPS
from ggtui.core.runtime.cpu.native import OP_NUMBERS, lib, text
from ggtui.core.runtime.cpu.ops import CPU_OPS

CASES = (
    *test_elementwise.CASES,
    *test_shape.CASES,
    *test_mul_mat.CASES,
    *test_attention.CASES,
    *test_map_custom.CASES,
)


def test_every_op_has_rows() -> None:
    assert {case.op for case in CASES} == set(OPS)


def test_rows_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


def test_python_and_c_know_the_same_ops() -> None:
    names = [text(lib.gg_op_name(i)) for i in range(lib.gg_n_ops())]
    assert set(names) == set(CPU_OPS) | {"none"}  # data that is simply there
    assert {name: i for i, name in enumerate(names)} == OP_NUMBERS
    assert all(op.name == name and op.kind in KINDS for name, op in OPS.items())
    assert text(lib.gg_op_name(lib.gg_n_ops())) == ""


def test_ops_that_only_look_move_no_data() -> None:
    assert {op.name for op in OPS.values() if not op.moves_data} == {"view", "reshape", "permute", "transpose"}
    assert all(lib.gg_op_moves_data(OP_NUMBERS[name]) == op.moves_data for name, op in OPS.items())
