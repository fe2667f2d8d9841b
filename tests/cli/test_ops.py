"""`ggtui ops`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ggtui.core.graph.ops import OPS
from ggtui.core.runtime import check

Run = Callable[..., Any]


def test_every_op_is_listed_in_80_columns(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = ggtui("ops")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(OPS)
    assert max(map(len, lines)) < 80
    assert "a: any type but i32, packed too; b: f32" in out
    assert "(k, m, a2, a3), (k, n, b2, b3) -> (m, n, b2, b3)" in out


def test_one_op(ggtui: Run) -> None:
    _, out, _ = ggtui("ops", "--op", "rope")
    assert out.startswith("rope(a, positions, n_dims=None, mode='normal', ")
    assert "freq_factors  f32 (pairs)" in out and "positions: i32" in out


def test_json(ggtui: Run) -> None:
    facts = json.loads(ggtui("ops", "--json").out)
    assert [fact["name"] for fact in facts] == list(OPS)
    assert all(fact["computes"] and fact["operands"] for fact in facts)
    looks = {"view", "reshape", "permute", "transpose", "map_custom"}
    assert all("->" in fact["sizes"] for fact in facts if fact["name"] not in looks)
    (flash,) = json.loads(ggtui("ops", "--json", "--op", "flash_attn_ext").out)
    assert flash["operands"]["k"] == ["f32", "f16", "f32 packed", "f16 packed"]


def test_check(ggtui: Run) -> None:
    code, out, err = ggtui("ops", "--check", "--op", "norm", "--op", "add", "-t", "2")
    assert (code, err) == (0, "")
    heading, add, norm, end = out.splitlines()
    assert heading.split()[:2] == ["op", "types"]
    assert add.split()[:3] == ["add", "f32", "31"] and add.endswith("GB/s") and "1e-06" in add
    assert norm.split()[0] == "norm" and "1e-07" in norm
    assert end == "56 cases on cpu, 2 threads: all within their bounds"
    assert "\x1b" not in out


def test_check_case_by_case(ggtui: Run) -> None:
    code, out, _ = ggtui("ops", "--check", "--op", "rope", "--case", "neox*", "-v", "-q", "--isa", "scalar")
    assert code == 0
    cases = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert len(cases) == 19 and all(case[0].startswith("neox-") for case in cases)
    assert any("f32 16 x 3 x 5 permuted, i32 5" in line for line in out.splitlines())
    assert "bounds" not in out


def test_check_as_json(ggtui: Run) -> None:
    rows = json.loads(ggtui("ops", "--check", "--json", "--op", "mul_mat", "--case", "*f16-packed*").out)
    assert all(row["op"] == "mul_mat" and row["problem"] == "" and row["us"] > 0 for row in rows)
    (batch,) = (row for row in rows if row["case"] == "batch-f16-packed")
    assert batch["operands"] == {"a": "f16 packed 1024 x 1024", "b": "f32 1024 x 64"}
    assert batch["speed"]["unit"] == "GFLOP/s" and batch["nmse"] < batch["bound"]


def test_a_case_out_of_bounds(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    right = check.reference_result
    monkeypatch.setattr(check, "reference_result", lambda y: right(y) + np.float64(y.ne[0] == 16))
    code, out, _ = ggtui("ops", "--check", "--op", "neg", "--isa", "scalar", "-t", "1")
    assert code == 1
    (failure,) = (line for line in out.splitlines() if line.startswith("  "))
    assert failure.startswith("  neg-16: NMSE ")
    assert failure.endswith("; again: ggtui ops --check --op neg --case 16 --isa scalar -t 1")
    assert out.endswith("17 cases on cpu, 1 thread: 1 out of bounds\n")
    again = failure.partition("again: ggtui ")[2].split()
    assert ggtui(*again).code == 1


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--op", "gelo"], "op gelo: there is none; did you mean gelu?"),
        (["--check", "--op", "xyz"], "op xyz: there is none; see ggtui ops"),
        (["--check", "--device", "tpu"], "'tpu' is none of cpu"),
        (["--check", "--op", "add", "--case", "q*"], "case q*: none of add matches"),
        (["--case", "x"], "--case: only with --check"),
        (["--device", "cpu"], "--device: only with --check"),
        (["-t", "2"], "-t: only with --check"),
        (["-q"], "-q: only with --check"),
    ],
)
def test_wrong_usage(ggtui: Run, args: list[str], problem: str) -> None:
    code, out, err = ggtui("ops", *args)
    assert (code, out) == (2, "")
    assert problem in err and err.count("\n") == 1
