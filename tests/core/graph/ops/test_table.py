"""Every op has cases in the table and a meaning in numpy, and Python and C know the same ops."""

from __future__ import annotations

from ggtui.core.graph.ops import OP_NUMBERS, OPS
from ggtui.core.graph.ops.in_numpy import DESTINATION_FIRST, MOVES, REFERENCE
from ggtui.core.runtime.cases import CASES
from ggtui.core.runtime.cpu.native import lib, text

INTERNAL = {"none", "quantize"}  # data that is simply there; the first part of some mul_mat nodes


def test_every_op_has_cases() -> None:
    assert {case.op for case in CASES} == set(OPS)


def test_cases_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


def test_every_op_that_computes_has_a_meaning_in_numpy() -> None:
    assert set(REFERENCE) == {op.name for op in OPS.values() if op.moves_data} - {"map_custom"}
    assert set(REFERENCE) >= DESTINATION_FIRST | MOVES


def test_python_and_c_know_the_same_ops() -> None:
    names = [text(lib.gg_op_name(i)) for i in range(lib.gg_n_ops())]
    assert set(names) == set(OPS) | INTERNAL
    assert {names[op.number]: op.name for op in OPS.values()} == {name: name for name in OPS}
    assert {name: i for i, name in enumerate(names)} == OP_NUMBERS
    assert all(op.name == name for name, op in OPS.items())
    assert text(lib.gg_op_name(lib.gg_n_ops())) == ""


def test_ops_that_only_look_move_no_data() -> None:
    assert {op.name for op in OPS.values() if not op.moves_data} == {"view", "reshape", "permute", "transpose"}
