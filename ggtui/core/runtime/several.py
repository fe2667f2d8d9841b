"""Devices by their names, alone or several together.

cpu                       one device
vulkan:1                  the second of a kind; what it does not run the CPU does
cpu,reference:soft_max    single ops on another one
cpu,vulkan=20             the first 20 layers on another one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary, WeakSet

from ggtui.core.errors import UsageError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TensorType, type_of
from ggtui.core.runtime.context import CONSTANT, Context
from ggtui.core.runtime.describe import layer_of
from ggtui.core.runtime.device import DEVICES, Device, Executable, one_device
from ggtui.core.runtime.partition import partition
from ggtui.core.runtime.program import Pools, Program
from ggtui.core.runtime.record import Limits

# by which op a tensor of a use is read most; others have it on the main device
_READERS = {"weights": "mul_mat", "keys": "paged_attention", "values": "paged_attention"}


@lru_cache(maxsize=32)
def device(name: str) -> Device:
    """The device of that name, see above. Raises UsageError for a name that says nothing, MissingPartError where the
    machine has no such device."""
    first, *others = name.split(",")
    main, more = _named(first, name)
    if more:
        raise UsageError(f"device {name!r}: the first device is for all ops; name those of others behind a comma")
    ops: dict[str, Device] = {}
    layers: list[tuple[int, Device]] = []
    for other in others:
        text, _, n_layers = other.partition("=")
        found, names = _named(text, name)
        if _is_number(n_layers) and not names:
            layers.append((int(n_layers), found))
        elif n_layers or not names:
            raise UsageError(f"device {name!r}: say {text}:soft_max for single ops, {text}=20 for the first 20 layers")
        ops |= dict.fromkeys(names, found)
    if not others and main.complete:
        return main
    return Several(name, main, ops, layers)


def _parts(text: str) -> tuple[str, int | None, list[str]]:
    """Name, number and what is behind them."""
    name, *rest = text.split(":")
    return name, int(rest.pop(0)) if rest and _is_number(rest[0]) else None, rest


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _named(text: str, whole: str) -> tuple[Device, list[str]]:
    """A device by its name and number, and the ops behind it."""
    name, number, rest = _parts(text.strip())
    if name not in DEVICES:
        raise UsageError(f"device {whole!r}: {name!r} is none of {', '.join(DEVICES)}")
    for op in rest:
        known = [name for name, row in OPS.items() if row.moves_data]
        if op not in known:
            meant = get_close_matches(op, known, 1)
            raise UsageError(
                f"device {whole!r}: there is no op {op!r}" + (f"; did you mean {meant[0]}?" if meant else "")
            )
    return one_device(name, number), rest


class SeveralContext(Context):
    """Memory of several devices: a tensor lies where its use has it read."""

    def __init__(self, several: Several) -> None:
        super().__init__()
        self._several = several
        self._of: dict[str, Context] = {}

    def new_tensor(
        self,
        type: str | TensorType,
        ne: Sequence[int],
        name: str = "",
        *,
        packed: bool | None = None,
        use: str = "inputs",
    ) -> Tensor:
        home = self._several.home(name, type_of(type), use)
        if home.name not in self._of:
            self._of[home.name] = home.context()
        return self._of[home.name].new_tensor(type, ne, name, packed=packed, use=use)

    def used_mem(self) -> int:
        return sum(context.used_mem() for context in self._of.values())

    def use_huge_pages(self) -> None:
        for context in self._of.values():
            context.use_huge_pages()


class Several:
    """Devices that run a graph together: `main` all but the ops and the first layers that others are named for, and the
    CPU what none of them runs."""

    complete = True

    def __init__(
        self, name: str, main: Device, ops: Mapping[str, Device], layers: Sequence[tuple[int, Device]] = ()
    ) -> None:
        self.name, self._main, self._ops = name, main, ops
        self._layers = sorted(layers, key=lambda row: row[0])
        self._constants: WeakKeyDictionary[Tensor, dict[str, Tensor]] = WeakKeyDictionary()  # their stand-ins by device
        self._copied: WeakSet[Tensor] = WeakSet()  # of these

    @cached_property
    def _cpu(self) -> Device:
        return one_device("cpu")

    def _named(self, name: str) -> Device:
        """The device that a buffer means by its name."""
        return one_device(*_parts(name)[:2])

    def _wanted(self, op: str, name: str) -> Device:
        """Where an op of that name is to run."""
        layer = layer_of(name)
        if op not in self._ops and layer is not None:
            return next((device for n, device in self._layers if layer < n), self._main)
        return self._ops.get(op, self._main)

    def home(self, name: str, type: TensorType, use: str) -> Device:
        wanted = self._wanted(_READERS.get(use, ""), name)
        kept = ("keys", "values") if use in ("keys", "values") else (use,)
        return wanted if all(wanted.holds(type, each) for each in kept) else self._cpu

    def device_of(self, node: Node) -> Device:
        """Where a node runs that writes into no memory but its own."""
        wanted = self._wanted(node.op, node.name)
        return wanted if wanted.supports(node) else self._cpu

    def context(self) -> Context:
        return SeveralContext(self)

    def holds(self, type: TensorType, use: str) -> bool:
        return True

    def free(self) -> int | None:
        return self._main.free()

    def supports(self, node: Node) -> bool:
        return True

    def pool(self, threads: int, *, rest: bool = True) -> Pools:
        return Pools(threads, rest)

    def compile(self, dag: Dag, *, fused: bool = True, isa: str | None = None) -> Executable:
        stand_ins: dict[tuple[Tensor, str], Tensor] = {}
        contexts: dict[str, Context] = {}
        viewed = {s.root for node in dag.nodes for s in node.src if s is not None and s.view_src is not None}

        def stand_in(root: Tensor, on: Device) -> Tensor:
            key = (root, on.name)
            if key not in stand_ins:
                constant = root.op == "none" and root.buffer is not None and root.buffer.use in CONSTANT
                use = root.buffer.use if constant and root.buffer is not None else "inputs"
                known = self._constants.setdefault(root, {}) if constant else {}
                if on.name not in known:
                    context = contexts.setdefault(on.name, on.context())
                    packed = False if root in viewed else None  # of what lies in tiles few views can be had
                    known[on.name] = context.new_tensor(
                        root.type, root.ne[: root.n_dims], root.name, packed=packed, use=use
                    )
                stand_ins[key] = known[on.name]
            return stand_ins[key]

        cut = partition(dag, self.device_of, self._named, stand_in)
        return Program(dag, cut, self._copied, fused=fused, isa=isa)

    def limits(self, pool: Pools, isa: str | None, sizes: Sequence[int]) -> Limits | None:
        """Those of the main device: what others run is not held against them."""
        return self._main.limits(pool.of(self._main), isa, sizes)

    def limits_key(self, threads: int, isa: str | None) -> str:
        return self._main.limits_key(threads, isa)
