"""Every op has cases in the table and a meaning in numpy, and Python and C know the same ops."""

from __future__ import annotations

from ggtui.core.graph.ops import KINDS, OPS
from ggtui.core.runtime.cases import CASES
from ggtui.core.runtime.cpu.native import OP_NUMBERS, lib, text
from ggtui.core.runtime.cpu.ops import CPU_OPS


def test_every_op_has_cases() -> None:
    assert {case.op for case in CASES} == set(OPS)


def test_cases_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


def test_every_op_that_computes_has_a_meaning_in_numpy() -> None:
    assert {op.name for op in OPS.values() if op.reference is None} == {
        op.name for op in OPS.values() if op.kind in ("view", "custom")
    }


def test_python_and_c_know_the_same_ops() -> None:
    names = [text(lib.gg_op_name(i)) for i in range(lib.gg_n_ops())]
    assert set(names) == set(CPU_OPS) | {"none"}  # data that is simply there
    assert {name: i for i, name in enumerate(names)} == OP_NUMBERS
    assert all(op.name == name and op.kind in KINDS for name, op in OPS.items())
    assert text(lib.gg_op_name(lib.gg_n_ops())) == ""


def test_ops_that_only_look_move_no_data() -> None:
    assert {op.name for op in OPS.values() if not op.moves_data} == {"view", "reshape", "permute", "transpose"}
    assert all(lib.gg_op_moves_data(OP_NUMBERS[name]) == op.moves_data for name, op in OPS.items())
