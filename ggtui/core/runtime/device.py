"""Devices: what graphs run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from ggtui.core.errors import UsageError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.record import GraphInfo, Limits, Unscheduled

_WHOLE = (int, np.integer)


class Recorder(Protocol):
    """Where runs leave their records, or their sums. `told`: of the last run what the system said of its threads, and
    how many records there was no room for."""

    threads: int

    def told(self) -> tuple[tuple[Unscheduled, ...], int]: ...

    @property
    def n_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ShaderCode:
    """What runs a node on a device that computes by shaders.

    constants  the values of its constants, by their ids: 0 is how many threads a group has
    subgroup   the size of subgroups that it wants; 0: any
    words      SPIR-V
    told       what the driver says of what it made of it; "" where it says nothing
    """

    shader: str
    constants: tuple[int, ...]
    subgroup: int
    words: bytes
    told: str


class Executable(Protocol):
    """A graph made ready to run on a device.

    variables   the run-time sizes, and the largest value of each
    values      what they were in the last run
    arena_bytes memory of the intermediates
    submits     whether the caller hands it to a queue and waits: then a recorder has `submitted`, the nanoseconds that
                this took in the last run
    """

    dag: Dag
    variables: dict[str, int]
    values: dict[str, int]
    arena_bytes: int
    submits: bool

    @property
    def isa(self) -> str: ...
    @property
    def results(self) -> Sequence[Tensor | None]:
        """Of each node in `info` the tensor that it makes; None where it makes none, but copies or submits."""
        ...

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
        """End the run under way, or else the next one, as soon as it can: at its next node, on a GPU behind a layer of
        a prompt; from any thread."""
        ...

    def forget_stop(self) -> None: ...
    def use_huge_pages(self) -> None: ...
    def give_back(self) -> None: ...
    def scratch_bytes(self, threads: int) -> int: ...
    def info(self, threads: int) -> GraphInfo: ...
    def code(self, node: int) -> ShaderCode | None:
        """Of the node with that number in `info`; None where it is run by something else than a shader."""
        ...


class Device(Protocol):
    """A place where graphs run.

    complete  whether it runs every op; what it does not is for the CPU
    context   memory of its own for tensors, in the layout in which it reads them for their use, see USES of
              runtime/context.py
    home      the device, itself or one of its own, in whose memory a tensor of that name, type and use lies
    holds     whether it computes with tensors of a type in that use
    free      bytes that it has for tensors now; None where that is not known
    supports  whether it runs a node
    pool      so many threads to run on; `rest`: some may rest where other programs use their cores
    compile   a graph made ready to run; fused or every op a node of its own, with an instruction set or the best one.
              Constants and what is written between runs lie in its own memory, or where the processor sees them and it
              reads them there; outputs come to lie where the processor sees them
    limits    what it allows a pool of its own at most, by one probe of now, reading as many bytes as its own loops do
              and these; None where that is not known
    limits_key  what such limits are kept by on this machine: all that they hang on. "" where none are known
    """

    name: str
    complete: bool

    def context(self) -> Context: ...
    def home(self, name: str, type: TensorType, use: str) -> Device: ...
    def holds(self, type: TensorType, use: str) -> bool: ...
    def free(self) -> int | None: ...
    def supports(self, node: Node) -> bool: ...
    def pool(self, threads: int, *, rest: bool = True) -> Any: ...
    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Executable: ...
    def limits(self, pool: Any, isa: str | None, sizes: Sequence[int]) -> Limits | None: ...
    def limits_key(self, threads: int, isa: str | None) -> str: ...


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


DEVICES: dict[str, str] = {  # name -> module that has a function `device(number)` of it
    "cpu": "ggtui.core.runtime.cpu.device",
    "reference": "ggtui.core.runtime.reference.device",
    "vulkan": "ggtui.core.runtime.vulkan.device",
}


def one_device(name: str, number: int | None = None) -> Device:
    """The device called so, of several of a kind the one with that number, or the best one. Raises UsageError for a
    name that there is none of, MissingPartError where the machine has no such device."""
    if name not in DEVICES:
        raise UsageError(f"device {name!r}: choose one of {', '.join(DEVICES)}")
    return _opened(name, number)


@cache
def _opened(name: str, number: int | None) -> Device:
    found: Device = import_module(DEVICES[name]).device(number)
    return found
