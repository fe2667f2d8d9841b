from __future__ import annotations

import sys

import pytest

from ggtui.core.runtime.memory import ALIGNMENT, HUGE_PAGE, Pages, aligned_zeros


@pytest.mark.parametrize("n_bytes", [1, 100, 5000])
def test_aligned(n_bytes: int) -> None:
    data = aligned_zeros(n_bytes)
    assert len(data) == n_bytes and data.ctypes.data % ALIGNMENT == 0 and not data.any()


@pytest.mark.parametrize("n_bytes", [1, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5])
@pytest.mark.parametrize("huge", [False, True])
def test_pages(n_bytes: int, huge: bool) -> None:
    """Whether pages are huge is for the system."""
    pages = Pages(n_bytes, huge=huge)
    data = pages.data
    assert len(data) == n_bytes and data.ctypes.data % HUGE_PAGE == 0 and not data.any()
    for change, kept in ((pages.use_huge, huge), (pages.use_huge, True), (pages.give_back, False)):
        data[:] = 7
        change()
        assert (data == 7).all() if kept else (not data.any() or sys.platform != "linux")
    data[:] = 1
    del pages
    assert data.all()
