from __future__ import annotations

import sys

import numpy as np
import pytest

from ggtui.core import memory
from ggtui.core.memory import ALIGNMENT, HUGE_PAGE, HugePages, aligned_zeros


@pytest.mark.parametrize("n_bytes", [1, 100, 5000])
def test_aligned(n_bytes: int) -> None:
    data = aligned_zeros(n_bytes)
    assert len(data) == n_bytes and data.ctypes.data % ALIGNMENT == 0 and not data.any()


@pytest.mark.parametrize("n_bytes", [1, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("can", [False, True])
def test_what_was_written_stays(monkeypatch: pytest.MonkeyPatch, n_bytes: int, later: bool, can: bool) -> None:
    """Whether pages are huge is for the system, and whether it can put them together."""
    monkeypatch.setattr(memory, "_can_collapse", lambda: can)
    pages = HugePages(n_bytes, later=later)
    data = pages.data
    assert len(data) == n_bytes and data.ctypes.data % HUGE_PAGE == 0 and not data.any()
    data[::1000] = np.arange(len(data[::1000])) % 251
    before = data.copy()
    for part in (0, n_bytes, n_bytes):
        pages.use(part)
        np.testing.assert_array_equal(data, before)
    pages.give_back()
    assert not data.any() or sys.platform != "linux"
    data[:] = 1
    del pages
    assert data.all()
