"""The devices that Vulkan has on this machine, and what each can do. `csrc/vulkan/devices.c` asks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggtui.core.errors import MissingPartError
from ggtui.core.runtime.cpu import native

KINDS = ("other", "integrated", "discrete", "virtual", "cpu")
"""By the numbers of enum gg_vk_kind. A driver for the processor is of kind cpu."""


@dataclass(frozen=True)
class VulkanInfo:
    """A device. Of one without Vulkan 1.2 nothing after `missing` is known: it is 0, "" or False."""

    index: int
    name: str
    kind: str  # one of KINDS
    version: str  # of the Vulkan that it has, e.g. 1.3.230
    missing: str  # what ggtui needs and it has not, in words; "" where it can compute
    driver: str  # and its version
    heap: int  # bytes of its own memory
    budget: int  # of them, what this process may have now
    max_allocation: int  # bytes
    max_range: int  # bytes of a storage buffer's binding
    queue_family: int  # of the queues that compute; -1: none
    timestamp_bits: int  # 0: its queues have no time stamps
    tick_ns: float
    max_invocations: int  # of a workgroup
    max_shared: int  # bytes that a workgroup shares
    subgroup: int  # invocations
    subgroup_least: int
    subgroup_most: int
    subgroup_control: bool  # a shader may ask for a size from the least to the most
    full_subgroups: bool  # and for full ones
    subgroup_arithmetic: bool
    subgroup_shuffle: bool
    f16: bool
    i8: bool
    i16: bool
    i64: bool
    storage8: bool
    storage16: bool
    device_address: bool
    scalar_layout: bool
    calibrated: bool  # its time stamps can be set against the system's clock
    executables: bool  # it tells what it made of a shader
    memory_budget: bool  # else `budget` is the heap


_NUMBERS = (
    "heap", "budget", "max_allocation", "max_range", "queue_family", "timestamp_bits", "tick_ns", "max_invocations",
    "max_shared", "subgroup", "subgroup_least", "subgroup_most",
)  # fmt: skip
_FLAGS = (
    "subgroup_control", "full_subgroups", "subgroup_arithmetic", "subgroup_shuffle", "f16", "i8", "i16", "i64",
    "storage8", "storage16", "device_address", "scalar_layout", "calibrated", "executables", "memory_budget",
)  # fmt: skip


def vulkan_devices() -> list[VulkanInfo]:
    """All devices, by number; one at least. Loads Vulkan.

    Raises MissingPartError, which says what to install, where there is no Vulkan or no device.
    """
    n = native.lib.gg_vk_n_devices()
    if n < 0:
        raise MissingPartError(native.last_error())
    return [_info(i) for i in range(n)]


def _info(index: int) -> VulkanInfo:
    c = native.ffi.new("gg_vk_info *")
    native.check(native.lib.gg_vk_info_of(index, c))
    values: dict[str, Any] = {name: getattr(c, name) for name in _NUMBERS}
    return VulkanInfo(
        index=index,
        name=native.text(c.name),
        kind=KINDS[c.kind] if 0 <= c.kind < len(KINDS) else KINDS[0],
        version=f"{c.major}.{c.minor}.{c.patch}",
        missing=native.text(c.missing),
        driver=native.text(c.driver),
        **values,
        **{name: bool(getattr(c, name)) for name in _FLAGS},
    )
