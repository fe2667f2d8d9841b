"""What a context refuses to make a tensor of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui import Context, Graph, ops
from ggtui.core.errors import GgtuiError, ShapeError, UsageError


@pytest.mark.parametrize("values", [[1 << 40], np.array([1 << 31], np.uint32), [0, -(1 << 31) - 1]])
def test_integers_that_do_not_fit_are_refused(values: Any) -> None:
    with pytest.raises(UsageError, match="does not fit into i32"):
        Context().tensor(values)
    assert Context().tensor(values, type="f32").numpy().tolist() == np.asarray(values, np.float32).tolist()


def test_the_ends_of_i32_fit() -> None:
    ends = [-(1 << 31), (1 << 31) - 1]
    assert Context().tensor(ends).numpy().tolist() == ends
    assert Context().tensor(np.zeros((0,), np.int64)).numpy().shape == (0,)


@pytest.mark.parametrize("values", [[1j], ["a"], [None], [object()]])
def test_what_is_no_number_is_refused(values: Any) -> None:
    with pytest.raises(UsageError, match="no numbers that a tensor has"):
        Context().tensor(values)


@pytest.mark.parametrize(("ne", "said"), [(5, "as a sequence"), (("a",), "whole numbers"), ((1.5,), "whole numbers")])
def test_sizes_that_are_none_are_refused(ne: Any, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        Context().new_tensor("f32", ne)
    with pytest.raises(UsageError, match="tensor type None"):
        Context().new_tensor(None, (4,))  # type: ignore[arg-type]


@pytest.mark.bare
def test_a_graph_without_room_for_its_intermediates_is_refused() -> None:
    g = Graph()
    g.build_forward_expand(ops.map_custom(print, ne=(100_000_000_000_0,)))
    with pytest.raises(GgtuiError, match="no memory for 4000000000000 bytes"):
        g.compute()
