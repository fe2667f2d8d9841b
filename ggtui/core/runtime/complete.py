"""What is the same for all devices that run every op in the processor's own memory."""

from __future__ import annotations

from typing import Self

from ggtui.core.graph.dag import Node
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.room import free_memory


class Complete:
    """A part of a Device, see runtime/device.py."""

    complete = True

    def home(self, name: str, type: TensorType, use: str) -> Self:
        return self

    def holds(self, type: TensorType, use: str) -> bool:
        return True

    def free(self) -> int | None:
        return free_memory()

    def supports(self, node: Node) -> bool:
        return True
