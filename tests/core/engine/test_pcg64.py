from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.engine.pcg64 import Pcg64


@pytest.mark.parametrize("seed", [0, 1, 42, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
@pytest.mark.parametrize("n", [2000])
def test_the_numbers_of_numpy(seed: int, n: int) -> None:
    ours = Pcg64(seed)
    assert [ours.random() for _ in range(n)] == np.random.Generator(np.random.PCG64(seed)).random(n).tolist()


@given(st.integers(0, (1 << 64) - 1))
def test_any_seed(seed: int) -> None:
    ours, numpy = Pcg64(seed), np.random.Generator(np.random.PCG64(seed))
    assert [ours.random() for _ in range(5)] == [numpy.random() for _ in range(5)]
