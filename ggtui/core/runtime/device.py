"""Devices: what graphs run on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.graph.dag import Dag
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.record import GraphInfo, Unscheduled

_WHOLE = (int, np.integer)
USES = ("weights", "keys", "values", "rows")  # what the memory of a tensor is for


class Recorder(Protocol):
    """Where runs leave their records, or their sums. `told`: of the last run what the system said of its threads, and
    how many records there was no room for."""

    threads: int

    def told(self) -> tuple[tuple[Unscheduled, ...], int]: ...

    @property
    def n_bytes(self) -> int: ...


class Executable(Protocol):
    """A graph made ready to run on a device.

    variables   the run-time sizes, and the largest value of each
    values      what they were in the last run
    arena_bytes memory of the intermediates
    """

    dag: Dag
    variables: dict[str, int]
    values: dict[str, int]
    arena_bytes: int

    @property
    def isa(self) -> str: ...
    def run(
        self,
        pool: Any,
        values: Mapping[str, int] | None = None,
        recorder: Any = None,
        *,
        stop_after: int | None = None,
    ) -> bool:
        """Run all nodes, or those up to the one with that number in `info`, on the threads of a pool of the device's,
        with these sizes. Returns whether the recorder was told anything."""
        ...

    def recorder(self, profile: str, threads: int) -> Any:
        """What runs are recorded into: "full" or "light"; None for "off"."""
        ...

    def show(self) -> None:
        """Make the tensors of the graph show what lies in this one's memory."""
        ...

    def stop(self) -> None:
        """End the run under way, or else the next one, at its next node; from any thread."""
        ...

    def forget_stop(self) -> None: ...
    def use_huge_pages(self) -> None: ...
    def give_back(self) -> None: ...
    def scratch_bytes(self, threads: int) -> int: ...
    def info(self, threads: int) -> GraphInfo: ...


class Device(Protocol):
    """A place where graphs run.

    layout   how many rows of a tensor lie side by side, for one of USES: 1 where rows follow each other
    pool     so many threads to run on; `rest`: some may rest where other programs use their cores
    compile  a graph made ready to run; fused or every op a node of its own, with an instruction set or the best one
    """

    name: str

    def layout(self, type: TensorType, use: str) -> int: ...
    def pool(self, threads: int, *, rest: bool = True) -> Any: ...
    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Executable: ...


def check_values(variables: Mapping[str, int], values: Mapping[str, int]) -> None:
    """Raise UsageError unless there is a value for each run-time size, up to its largest."""
    for name, largest in variables.items():
        value = values.get(name)
        if value is None:
            raise UsageError(f"run: no value for {name}")
        if not isinstance(value, _WHOLE):
            raise UsageError(f"run: {name} is {value!r}, no whole number")
        if not 0 <= value <= largest:
            raise UsageError(f"run: {name} is {value}; must be 0 to {largest}")


def check_node(stop_after: int, n_nodes: int) -> None:
    """Raise UsageError unless there is such a node to stop after."""
    if not 0 <= stop_after < n_nodes:
        raise UsageError(f"run: stop_after {stop_after}: the nodes are 0 to {n_nodes - 1}")


DEVICES: dict[str, str] = {  # name -> module that has a DEVICE of it
    "cpu": "ggtui.core.runtime.cpu.device",
    "reference": "ggtui.core.runtime.reference.device",
}
PLANNED = ("vulkan",)


def device(name: str) -> Device:
    """The device called `name`. Raises UsageError for an unknown one, MissingPartError for one not built yet."""
    if name in DEVICES:
        found: Device = import_module(DEVICES[name]).DEVICE
        return found
    if name in PLANNED:
        raise MissingPartError(f"device {name}: this ggtui has none; use --device cpu")
    raise UsageError(f"device {name!r}: choose one of {', '.join(DEVICES)}")
