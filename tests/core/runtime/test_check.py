"""What `ggtui ops --check` finds: results out of bounds are told, those within are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ggtui.core.errors import UsageError
from ggtui.core.graph.ops import OPS
from ggtui.core.runtime import check as module
from ggtui.core.runtime.cases import CASES, operand_types
from ggtui.core.runtime.cases.base import EXACT, f32
from ggtui.core.runtime.check import check, compare, select


def test_a_case_of_each_op_is_within_its_bound() -> None:
    first = {case.op: case for case in reversed(CASES)}
    results = list(check(first.values(), threads=2))
    assert [result.problem for result in results] == [""] * len(OPS)
    assert all(0 <= result.share <= 1 and result.nmse is not None for result in results)


@pytest.mark.parametrize("op", sorted({case.op for case in CASES if case.timed}))
def test_large_cases_are_within_their_bounds_and_have_a_speed(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMED_NS", 0)  # a few runs will do
    for result in check([case for case in select([op]) if case.timed], threads=2):
        assert not result.problem and result.ns > 0 and result.speed is not None
        assert result.speed[0] > 0 and result.speed[1] == ("GFLOP/s" if "batch" in result.case.name else "GB/s")


def test_every_op_but_views_and_functions_has_a_large_case() -> None:
    assert set(OPS) - {case.op for case in CASES if case.timed} == {
        "view", "reshape", "permute", "transpose", "map_custom",
    }  # fmt: skip


def test_a_wrong_result_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = select(["sqr"], "5x17")

    def off(y: object) -> np.ndarray:
        want = right(y)  # type: ignore[arg-type]
        want[3, 2] += 1
        return want

    right = module.reference_result
    monkeypatch.setattr(module, "reference_result", off)
    (result,) = check([case])
    assert result.share > 1 and result.nmse is not None and result.nmse > case.bound
    assert result.problem.startswith("NMSE ") and "the worst, at (2, 3), is " in result.problem


def test_what_is_raised_is_the_problem_of_the_case() -> None:
    (good,) = select(["flash_attn_ext"], "f16-7-of-16-causal")
    queries = {"q": f32(1, 3, 4), "k": f32(1, 2, 4), "v": f32(1, 2, 4)}
    results = list(check([replace(good, given=queries), good]))
    assert [r.problem for r in results] == ["flash_attn_ext: causal, but 3 queries for 2 positions", ""]
    assert results[0].nmse is None and results[0].share == np.inf


def test_operands_are_the_same_each_time() -> None:
    for case in (select(["mul_mat"], "q4_0-packed-64-15-2")[0], select(["set_rows"], "permuted")[0]):
        (_, one), (_, other) = case.make(), case.make()
        assert [t.bytes().tobytes() for t in one] == [t.bytes().tobytes() for t in other]


@pytest.mark.parametrize(
    ("got", "want", "bound", "problem"),
    [
        ([1, 2], [1, 2], EXACT, ""),
        ([1, 2 + 1e-9], [1, 2], EXACT, "1 of 2 values differ; the worst, at (1), is 2, not 2"),
        ([1, 2.001], [1, 2], 1e-6, ""),
        ([1, 2.1], [1, 2], 1e-6, "NMSE 0.002, the bound is 1e-06; the worst, at (1), is 2.1, not 2"),
        ([np.inf, 1], [np.inf, 1], 1e-6, ""),
        ([np.inf, 1], [-np.inf, 1], 1e-6, "NMSE inf"),
        ([np.inf, 1], [5, 1], 1e-6, "NMSE inf"),
        ([np.nan, 1], [5, 1], 1e-6, "NMSE nan"),
        ([np.nan, 1], [np.nan, 1], EXACT, ""),
        ([1e-9], [0], 1e-6, "NMSE inf"),
        ([0], [0], 1e-6, ""),
        ([], [], 1e-6, ""),
        ([1], [1, 2], 1e-6, "sizes (1,), not (2,)"),
    ],
)
def test_compare(got: list[float], want: list[float], bound: float, problem: str) -> None:
    found = compare(np.array(got), np.array(want), bound)[1]
    assert found.startswith(problem) and bool(found) == bool(problem)


def test_a_lone_wrong_value_does_not_hide_among_many() -> None:
    want = np.ones(1_000_000)
    got = want.copy()
    got[77] = 1.05
    nmse, problem = compare(got, want, 1e-6)
    assert nmse is not None and nmse < 1e-6 and "at (77)" in problem


def test_select() -> None:
    assert {case.op for case in select()} == set(OPS)
    assert len(select()) == len(CASES)
    assert [case.op for case in select(["rope", "add"], "large")] == ["add"]
    assert {case.op for case in select(["rope", "add"], "*large")} == {"add", "rope"}
    with pytest.raises(UsageError, match="op soft_mx: there is none; did you mean soft_max"):
        select(["soft_mx"])
    with pytest.raises(UsageError, match="case x: none of add matches"):
        select(["add"], "x")


def test_types_of_operands() -> None:
    assert operand_types("add") == {"a": ["f32"], "b": ["f32"]}
    assert operand_types("soft_max") == {"a": ["f32"], "mask": ["f32", "f16"], "sinks": ["f32"]}
    assert operand_types("map_custom") == {"src": ["f32", "f16", "i32"]}
    weights = operand_types("mul_mat")["a"]
    assert "q4_k" in weights and "q4_k packed" in weights and "i32" not in weights
    for op in OPS:
        assert all(operand_types(op).values()), op


def test_a_device_or_threads_that_are_none() -> None:
    with pytest.raises(UsageError, match="nowhere"):
        list(check(select(["add"], "1"), "nowhere"))
    with pytest.raises(UsageError, match="threads 0"):
        list(check(select(["add"], "1"), threads=0))
