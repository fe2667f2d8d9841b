"""What limits allow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import LIMITS, NODES

from ggtui.perf.bounds import binding, peak, read_rate


def test_read_rate_lies_between_what_was_measured() -> None:
    assert read_rate(LIMITS, 10) == 8e9 and read_rate(LIMITS, 1e9) == 4e9
    assert read_rate(LIMITS, 1000 * 1000**0.5) == pytest.approx(6e9)
    assert read_rate(replace(LIMITS, read=()), 10) is None


def test_what_binds_and_how_near_it_is() -> None:
    # 1000 bytes are read at 8 GB/s, a million at 4; arithmetic takes 10 ns.
    assert binding(LIMITS, 4e6, 1e6, 0.0, 2e6) == ("memory", pytest.approx(0.5))
    assert binding(LIMITS, 4e6, 1e6, 1.5e-3, 2e6) == ("compute", pytest.approx(0.75))
    assert binding(None, 4e6, 1e6, 0.0, 2e6) == ("", None)
    assert binding(LIMITS, 0, 1e6, 0.0, 2e6) == ("", None) == binding(LIMITS, 4e6, 1e6, 0.0, 0.0)


def test_what_is_faster_than_memory_came_from_a_cache() -> None:
    assert binding(LIMITS, 6e6, 1e6, 0.0, 1e6) == ("cache", pytest.approx(6 / 8))


def test_no_share_is_above_its_limit() -> None:
    assert binding(LIMITS, 20e6, 1e6, 0.0, 1e6) == ("cache", 1.0)
    assert binding(LIMITS, 1.0, 1e6, 3e-3, 2e6) == ("compute", 1.0)


def test_a_device_without_8_bit_products_has_its_f32_ones() -> None:
    product = replace(NODES[1], kinds=("product",), type="q8_0")
    assert peak(LIMITS, product) == LIMITS.int8 != LIMITS.f32
    assert peak(replace(LIMITS, int8=0.0), product) == LIMITS.f32 == peak(LIMITS, replace(product, type="f16"))
