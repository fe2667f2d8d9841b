"""GPUs by Vulkan."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.errors import MissingPartError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.record import Limits
from ggtui.core.runtime.vulkan.buffer import VulkanContext
from ggtui.core.runtime.vulkan.devices import VulkanInfo, vulkan_devices
from ggtui.core.runtime.vulkan.executable import Queue, VulkanExecutable
from ggtui.core.runtime.vulkan.kernels import HELD, kernel_of
from ggtui.core.runtime.vulkan.limits import probe
from ggtui.core.runtime.vulkan.opened import Opened

_BEST = ("discrete", "integrated", "virtual", "other", "cpu")  # kinds of devices


class Vulkan:
    """See Device in runtime/device.py. It is opened when it is first used."""

    complete = False

    def __init__(self, number: int | None) -> None:
        self._info = _choose(number)
        self._open: Opened | None = None
        self.name = "vulkan" if number is None else f"vulkan:{number}"

    @property
    def _opened(self) -> Opened:
        """Opened anew where it was lost: what is loaded from then on runs again."""
        if self._open is None or self._open.lost:
            self._open = Opened(self._info)
        return self._open

    def context(self) -> Context:
        return VulkanContext(self._opened, self.name)

    def home(self, name: str, type: TensorType, use: str) -> Vulkan:
        return self

    def free(self) -> int | None:
        """What the driver says that this process may have, less what others took meanwhile where it tells of that."""
        return vulkan_devices()[self._info.index].budget

    def holds(self, type: TensorType, use: str) -> bool:
        return type.name in HELD[use]

    def supports(self, node: Node) -> bool:
        return kernel_of(node) is not None

    def pool(self, threads: int, *, rest: bool = True) -> Queue:
        return Queue(threads)

    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> VulkanExecutable:
        return VulkanExecutable(dag, self._opened, self.name, fused=fused)

    def limits(self, pool: Queue, isa: str | None, sizes: Sequence[int]) -> Limits:
        return probe(self._opened, self.name, VulkanExecutable.isa, sizes)

    def limits_key(self, threads: int, isa: str | None) -> str:
        return f"{self.name}: {self._info.name}, {self._info.driver}"


def _choose(number: int | None) -> VulkanInfo:
    devices = vulkan_devices()
    if number is None:
        able = [d for d in devices if not d.missing] or devices
        chosen = min(able, key=lambda d: _BEST.index(d.kind))
    elif number < len(devices):
        chosen = devices[number]
    else:
        raise MissingPartError(f"device vulkan:{number}: there is none; they are 0 to {len(devices) - 1}")
    if chosen.missing:
        raise MissingPartError(f"device vulkan:{chosen.index}: {chosen.name} lacks {chosen.missing}; use --device cpu")
    return chosen


def device(number: int | None) -> Vulkan:
    """The one with that number, or the best one. Raises MissingPartError where there is no Vulkan, no such device, or
    one that lacks what shaders need."""
    return Vulkan(number)
