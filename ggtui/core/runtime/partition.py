"""Cuts a graph into parts that run on one device each, and says what is copied between them.

A node runs where its placement says, but what writes into memory that is there runs where that memory is: its home.
What others write into is made where all of them can run. Of what a part reads and another device holds it gets a
stand-in, a tensor in its own device's memory, that is filled before the part runs: once where it never changes, in each
run where it is made or written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor, contiguous_nb
from ggtui.core.runtime.context import CONSTANT
from ggtui.core.runtime.device import Device

FALLBACK = "cpu"  # runs every op


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """What a tensor holds, a root, to its stand-in on another device."""

    source: Tensor
    target: Tensor

    @property
    def name(self) -> str:
        return self.source.name or self.source.op

    def n_bytes(self, values: Mapping[str, int]) -> int:
        """From the first to behind the last element that there is in a run of these sizes."""
        t = self.source
        ne = [values.get(n.name, int(n)) if isinstance(n, Dim) else n for n in t.ne]
        if 0 in ne:
            return 0
        nb = contiguous_nb(t.type, t.ne)  # roots have no gaps but those of tiles
        return t.type.row_bytes(ne[0]) + sum((n - 1) * size for n, size in zip(ne[1:], nb[1:], strict=True))

    def run(self, values: Mapping[str, int]) -> None:
        source, target = self.source.buffer, self.target.buffer
        assert source is not None and target is not None
        target.write(self.target, source.read(self.source, self.n_bytes(values)))


@dataclass(slots=True)
class Part:
    """Nodes of one device, and the copies that are made before they run."""

    device: Device
    nodes: list[Node] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


@dataclass(slots=True)
class Partition:
    """The parts in their order. constants: what is copied once; home: of each root that a node reads or writes the
    name of the device that has it."""

    parts: list[Part]
    constants: list[Copy]
    home: dict[Tensor, str]

    def dag(self, i: int, whole: Dag) -> Dag:
        """Part i as a graph of its own: what others read of it, and what was asked for, stays."""
        part = self.parts[i]
        made = {node.dst.root for node in part.nodes}
        read = {copy.source for other in self.parts for copy in other.copies if copy.source in made}
        later = (node for other in self.parts[i + 1 :] if other.device.name == part.device.name for node in other.nodes)
        read |= {s.root for node in later for s in (node.dst, *node.src) if s is not None and s.root in made}
        outputs = [t for t in whole.outputs if t.root in made]
        given = made - {node.dst for node in part.nodes}
        return Dag(part.nodes, outputs, {t for t in whole.kept if t.root in made} | read, given)


StandIn = Callable[[Tensor, Device], Tensor]


def partition(
    dag: Dag, device_of: Callable[[Node], Device], named: Callable[[str], Device], stand_in: StandIn
) -> Partition:
    """`device_of` says where a node is to run that writes into no memory but its own, `named` which device a buffer
    means; `stand_in` makes room for what a root holds on a device, the same whenever it is asked.

    Raises GgtuiError for a root that has no memory and that no node makes.
    """
    writers: dict[Tensor, list[Node]] = {}  # those that write into memory which another node made
    for node in dag.nodes:
        if node.dst is not node.dst.root:
            writers.setdefault(node.dst.root, []).append(node)
    homes: dict[Tensor, str] = {}
    parts: list[Part] = []
    constants: dict[tuple[Tensor, str], Copy] = {}
    version: dict[Tensor, int] = {}  # how often a root was written so far
    copied: dict[tuple[Tensor, str], int] = {}  # which of these a device has
    for node in dag.nodes:
        root = node.dst.root
        if root is node.dst:
            device = device_of(node)
            if not all(device.supports(writer) for writer in writers.get(root, ())):
                device = named(FALLBACK)
            homes[root] = device.name
        else:
            device = named(_home(homes, root))
        if not parts or parts[-1].device.name != device.name:
            parts.append(Part(device))
        part, src = parts[-1], []
        for s in node.src:
            if s is None or _home(homes, s.root) == device.name:
                src.append(s)
                continue
            place = stand_in(s.root, device)
            key = (s.root, device.name)
            if s.root.op == "none" and s.root.buffer is not None and s.root.buffer.use in CONSTANT:
                constants.setdefault(key, Copy(s.root, place))
            elif copied.get(key) != version.get(s.root, 0):
                copied[key] = version.get(s.root, 0)
                part.copies.append(Copy(s.root, place))
            src.append(_same_view(s, place))
        part.nodes.append(replace(node, src=tuple(src)))
        version[root] = version.get(root, 0) + 1
    return Partition(parts, list(constants.values()), homes)


def _home(homes: dict[Tensor, str], root: Tensor) -> str:
    if root not in homes:
        if root.buffer is None:
            raise GgtuiError(f"tensor {root.name!r} has no memory and no node of the graph makes it")
        homes[root] = root.buffer.device
    return homes[root]


def _same_view(s: Tensor, place: Tensor) -> Tensor:
    """Of a stand-in what `s` shows of the original."""
    if s.view_src is None:
        return place
    nb = place.nb if s.nb == s.root.nb else s.nb  # of tiles only the first rows can be viewed
    return Tensor.of_op(
        "view", s.type, s.ne, (place,), nb=nb, view_src=place, view_offs=s.view_offs, n_dims=s.n_dims, name=s.name
    )
