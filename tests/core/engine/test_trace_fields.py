"""JSON as records: each kind of field takes what is of its kind and refuses the rest by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.trace_fields import LIMIT, read_records, read_rows
from ggtui.core.graph.cost import Cost
from ggtui.core.runtime.record import Limits, MemoryUse, NodeRecord, NodeTotal, RunInfo, TensorInfo

TENSOR = {"name": "x", "type": "f32", "ne": [4, 1, 1, 1]}


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (int, LIMIT - 1, LIMIT - 1),
        (float, 3, 3.0),
        (str, "ü", "ü"),
        (bool, True, True),
        (int | None, None, None),
        (int | None, 4, 4),
        (tuple[int, ...], [], ()),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, float], [1, 2], (1, 2.0)),
        (Mapping[str, int], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (Cost, [], Cost()),
        (Cost, [[-7, []], [2, ["n_kv", "n_tokens"]]], Cost(((-7, ()), (2, ("n_kv", "n_tokens"))))),
        (TensorInfo, TENSOR, TensorInfo("x", "f32", (4, 1, 1, 1))),
        (MemoryUse, {"kv": 3}, MemoryUse(kv=3)),
        (RunInfo, {}, RunInfo()),
    ],
)
def test_what_fits_comes_back(kind: Any, value: Any, made: Any) -> None:
    (found,) = read_records(kind, [value], "x")
    assert found == made and type(found) is type(made)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (int, -1, "x is -1, not a whole number from 0"),
        (int, LIMIT, "not a whole number"),
        (int, 1.0, "x is 1.0"),
        (int, True, "x is True"),
        (int, None, "x is None"),
        (float, -0.5, "x is -0.5, not a number from 0"),
        (float, 10**400, "not a number"),
        (float, float("nan"), "x is nan"),
        (float, False, "x is False"),
        (float, "1", "x is '1'"),
        (str, 1, "x is 1, not a text"),
        (str, "\ud800", "x has half of a surrogate pair"),
        (bool, 1, "x is 1, not a bool"),
        (int | None, "1", "x is '1'"),
        (tuple[int, ...], 3, "x is 3, not a list"),
        (tuple[int, ...], "12", "x is '12', not a list"),
        (tuple[int, ...], [1, [2]], r"x is \[2\]"),
        (tuple[int, float], [1], r"x is \[1\], not a list of 2 values"),
        (Mapping[str, int], [1], "not an object"),
        (Mapping[str, int], {"\udc00": 1}, "surrogate"),
        (Mapping[str, int], {"a": "b"}, "x is 'b'"),
        (Cost, [[1, "n_kv"]], "x is 'n_kv', not a list of names"),
        (Cost, [[1, [["n_kv"]]]], "x is multiplied with"),
        (Cost, [[1, ["n_kv"] * 5]], "but sizes are at most 4 of n_tokens and n_kv"),
        (Cost, [[1]], "not a list of a number and names of sizes"),
        (Cost, [[-LIMIT, []]], "not a whole number"),
        (TensorInfo, {**TENSOR, "ne": []}, "not 1 to 4 sizes"),
        (TensorInfo, {**TENSOR, "ne": [1] * 5}, "not 1 to 4 sizes"),
        (TensorInfo, {**TENSOR, "ne": [0]}, "x.ne is 0, not a whole number from 1"),
        (TensorInfo, {"name": "x", "ne": [1]}, "x has no type"),
        (TensorInfo, {**TENSOR, "more": 1}, "x has 'more', which is no field of it"),
        (TensorInfo, [TENSOR], "not an object"),
        (Limits, {"isa": "a", "threads": 1, "read": [[0, 1.0]], "int8": 1, "f32": 1, "barrier_ns": 0}, "x.read is 0"),
    ],
)
def test_what_does_not_fit_is_refused(kind: Any, value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_records(kind, [value], "x")


def test_one_of_many_is_found() -> None:
    with pytest.raises(ValueError, match=r"x\.ne is 'a'"):
        read_records(TensorInfo, [TENSOR, {**TENSOR, "ne": [1, "a"]}, TENSOR], "x")


def test_what_was_given_is_told_in_a_few_words() -> None:
    with pytest.raises(ValueError, match="x is") as found:
        read_records(int, [["a" * 1000] * 1000], "x")
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("rows", [[], [[0, 0, 1, 0, 5, 5], [-1, 0, 0, 0, 0, 9]]])
def test_rows_of_numbers_are_a_table(rows: list[list[int]]) -> None:
    (records,) = read_records(Sequence[NodeRecord], [rows], "x")
    assert records.table.tolist() == rows and records.table.dtype == np.int64 and records.table.shape[1] == 6


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({}, "not a list of rows"),
        ("ab", "not a list of rows"),
        ([1], "not a row of node, part"),
        ([[0] * 5], "not a row of node, part"),
        ([[0, 0, 0, 0, 0, "9" * 1_000_000]] + [[0] * 6] * 1000, "not a whole number"),
        ([[0, 0, 0, 0, 0, 1.5]], "x is 1.5, not a whole number"),
        ([[0, 0, 0, 0, 0, True]], "x is True"),
        ([[0, 0, 0, 0, 0, 1 << 63]], "does not fit into 64 bits"),
        ([[0, 0, 0, 0, 0, LIMIT]], "0 <= start <= end <= done < 2\\^62 must hold"),
        ([[0, 0, 0, -1, 0, 0]], "the row 0, 0, 0, -1, 0, 0, but"),
        ([[0, 0, 0, 2, 1, 3]], "must hold"),
        ([[0, 0, 0, 1, 3, 2]], "must hold"),
    ],
)
def test_rows_out_of_order_are_refused(rows: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_records(Sequence[NodeRecord], [rows], "x")


def test_totals_lie_in_rows() -> None:
    row = [0, -1, 0, 0, 1, 1, 1, 1, 1, 1]
    assert read_rows(NodeTotal, [row], "x") == [NodeTotal(*row)]
    for bad, problem in ((row[:-1], "not a row of 10 values"), ([0, -2, *row[2:]], "x.node is -2"), ("x" * 10, "row")):
        with pytest.raises(ValueError, match=problem):
            read_rows(NodeTotal, [bad], "x")
