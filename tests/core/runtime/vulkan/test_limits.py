"""What a Vulkan device allows, by its own clock."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.core.runtime.cpu.native import lib, text
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.several import device
from ggtui.core.runtime.vulkan import limits
from ggtui.core.runtime.vulkan.opened import Memory, Opened


@pytest.fixture(scope="module")
def opened() -> Opened:
    try:
        found = one_device("vulkan")
    except MissingPartError as error:
        pytest.skip(str(error))
    return found._opened  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_SIZES", (1 << 16, 1 << 20))
    monkeypatch.setattr(limits, "MOST_READ", 1 << 21)
    monkeypatch.setattr(limits, "MOST_READ_BY_CPU", 1 << 21)
    monkeypatch.setattr(limits, "_LEAST_NS", 100_000)


def test_every_limit_is_measured(opened: Opened) -> None:
    before = lib.gg_vk_n_validation()
    found = limits.probe(opened, "vulkan", "vulkan", [100_000, 100, 1 << 22])
    assert (found.device, found.isa, found.threads, found.int8) == ("vulkan", "vulkan", 1, 0.0)
    assert [size for size, _ in found.read] == [1 << 16, 100_000, 1 << 20]  # what is too small or too large is not read
    # Between what the slowest device does and what none will soon.
    assert all(1e6 < rate < 1e15 for _, rate in found.read)
    assert 1e7 < found.f32 < 1e17 and 1e6 < found.f16 < 1e18
    assert 1 <= found.barrier_ns < 1e8 and 0 < found.submit_ns < 1e9
    assert lib.gg_vk_n_validation() == before, text(lib.gg_vk_validation())


@pytest.mark.bare
def test_more_turns_take_longer(opened: Opened) -> None:
    """Nothing of a loop is left out, however many turns it makes: a thousand are far from as fast as one."""
    memory = Memory(opened, 1 << 20, "local")
    for mode in (limits.READ, limits.F32, limits.F16):
        row = limits._Row(opened, mode, memory, 1 << 20)
        few, many = (min(row.stamped(turns) for _ in range(4)) for turns in (1, 1000))
        assert many > 3 * few, mode


def test_what_is_read_is_not_all_zeros_and_stays(opened: Opened) -> None:
    memory = Memory(opened, 1 << 16, "read back")
    assert memory.host is not None
    limits._Row(opened, limits.FILL, memory, memory.n_bytes).stamped(0)
    want = np.arange(1 << 14, dtype=np.uint32) * np.uint32(2654435761)
    np.testing.assert_array_equal(memory.host.view(np.uint32), want)
    for mode in (limits.NOTHING, limits.READ, limits.F32, limits.F16):
        limits._Row(opened, mode, memory, memory.n_bytes).stamped(3)
    np.testing.assert_array_equal(memory.host.view(np.uint32), want)


def test_less_memory_where_it_is_short(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def short(opened: Opened, n_bytes: int, use: str) -> int:
        made.append(n_bytes)
        if n_bytes > most:
            raise GgtuiError("no memory left")
        return n_bytes

    monkeypatch.setattr(limits, "Memory", short)
    most = 1 << 20
    assert limits._memory(opened) == made[-1] == 1 << 20 and made[0] == 1 << 21
    most = 0
    with pytest.raises(GgtuiError, match="no memory left"):
        limits._memory(opened)


def test_they_are_kept_by_device_and_driver(opened: Opened) -> None:
    info = opened.info
    for name in ("vulkan", f"vulkan:{info.index}"):
        found = device(name)
        assert found.limits_key(1, None) == found.limits_key(7, "scalar") == f"{name}: {info.name}, {info.driver}"


def test_several_devices_have_those_of_the_main_one(opened: Opened) -> None:
    both = device("vulkan")
    found = both.limits(both.pool(2), "scalar", [])
    assert found is not None and found.device == "vulkan"
    turned = device("cpu,vulkan:add")
    assert turned.limits_key(2, "scalar") == "scalar 2"
    assert device("reference").limits_key(1, None) == ""
    assert device("reference").limits(device("reference").pool(1), None, []) is None
