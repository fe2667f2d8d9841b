"""A node between what it reads and what reads it, as a picture of lines and a box; one can go to either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ggtui.core.errors import ShapeError
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.record import GraphInfo, NodeInfo, TensorInfo
from ggtui.viz.dot import tensor_text
from ggtui.viz.tables import DASH, duration, size
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets.heat import Look, share_told
from ggtui.viz.tui.widgets.node_figures import Figures
from ggtui.viz.tui.widgets.outline import fitted

_BYTES = 10  # columns of a size
_FIGURES = 18  # columns of a time and its share
_WIDEST = 100  # columns of the picture


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A tensor that is read, or a reader of the result. `node` is its number; None: no node made it."""

    name: str
    node: int | None
    tensor: TensorInfo
    op: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """The neighbours of a node, or of some nodes together: then only nodes outside of these."""

    sources: tuple[Neighbour, ...]
    readers: tuple[Neighbour, ...]

    @property
    def stops(self) -> list[int]:
        """The numbers of the nodes, as they stand from the top."""
        return [n.node for n in (*self.sources, *self.readers) if n.node is not None]


def around(graph: GraphInfo, nodes: Sequence[int]) -> Around:
    """The neighbours of these nodes."""
    own = set(nodes)
    sources = [
        _node(graph.nodes[i]) for i in dict.fromkeys(s for n in nodes for s in graph.nodes[n].src) if i not in own
    ]
    if len(nodes) == 1:
        node = graph.nodes[nodes[0]]
        sources += [Neighbour(_input_name(graph, node, t), None, t) for t in node.inputs]
    readers = [_node(n) for n in graph.nodes if n.id not in own and not own.isdisjoint(n.src)]
    return Around(tuple(sources), tuple(readers))


def _node(n: NodeInfo) -> Neighbour:
    return Neighbour(printable_line(n.name), n.id, n.result, printable_line(n.op))


def _input_name(graph: GraphInfo, node: NodeInfo, tensor: TensorInfo) -> str:
    """A view has no name; one like what a source sets rows of is a view of the KV cache."""
    stores = (graph.nodes[i] for i in node.src if "store" in graph.nodes[i].kinds)
    if not tensor.name and any((s.result.type, s.result.ne) == (tensor.type, tensor.ne) for s in stores):
        return "(KV cache)"
    return printable_line(tensor.name) or "(a view)"


def bytes_of(tensor: TensorInfo) -> int | None:
    """Of a whole tensor at its largest; None for a type that is not known here."""
    type = TYPES.get(tensor.type)
    try:
        return type.row_bytes(tensor.ne[0]) * prod(tensor.ne[1:]) if type is not None else None
    except ShapeError:
        return None


def bytes_told(tensor: TensorInfo) -> str:
    n = bytes_of(tensor)
    return DASH if n is None else size(n)


def counted(n: int, what: str) -> str:
    """3 nodes, 1 node, no node."""
    return f"{n or 'no'} {what}{'s' * (n > 1)}"


def picture(
    title: str,
    told: str,
    near: Around,
    figures: Figures | None,
    nodes: Sequence[int],
    width: int,
    look: Look,
    chosen: int | None = None,
) -> tuple[Text, list[int]]:
    """The picture in `width` columns, and the lines of the stops. `told` stands behind the title; `chosen` is the stop
    the cursor is at."""
    corner, middle, last = ("+--", "+--", "+--") if look.ascii_only else ("┌──", "├──", "└──")
    arrow = ">" if look.ascii_only else "▶"
    text = Text(no_wrap=True, end="")
    stops: list[int] = []
    name_width = max((cell_len(n.name) for n in (*near.sources, *near.readers)), default=0)
    tensor_width = max((len(tensor_text(n.tensor)) for n in near.sources), default=0)

    def entry(n: Neighbour, rail: str, middle_text: str, right: str) -> None:
        here = n.node is not None and chosen == len(stops)
        if n.node is not None:
            stops.append(text.plain.count("\n"))
        text.append(f"  {rail}{arrow if here else rail[-1]} ", "dim" if not here else "bold")
        room = max(width - 7 - len(middle_text) - len(right) - 2, 8)
        name = fitted(n.name, min(name_width, room), look)
        text.append(name, "reverse" if here else "bold" if n.node is not None else "")
        text.append(f"  {middle_text}{right}\n", "" if n.node is not None else "dim")

    for i, n in enumerate(near.sources):
        right = bytes_told(n.tensor).rjust(_BYTES)
        entry(n, corner if i == 0 else middle, tensor_text(n.tensor).ljust(tensor_width), right)
    text.append_text(_box(title, told, near, figures, nodes, width, look))
    op_width = max((len(n.op) for n in near.readers), default=0)
    for i, n in enumerate(near.readers):
        right = ""
        if figures is not None and n.node is not None:
            right = f"{duration(figures.time[n.node])}{share_told(figures.share([n.node])):>8}".rjust(_FIGURES)
        entry(n, last if i + 1 == len(near.readers) else middle, n.op.ljust(op_width), right)
    text.right_crop(1)
    return text, stops


def _box(
    title: str,
    told: str,
    near: Around,
    figures: Figures | None,
    nodes: Sequence[int],
    width: int,
    look: Look,
) -> Text:
    """Three lines: an edge that counts what is read, the node with its time, an edge that counts the readers."""
    tl, tr, bl, br, across, down, into, out = "++++-|v+" if look.ascii_only else "┌┐└┘─│▼┬"
    inner = max(width - 3, 20)
    n_nodes = sum(n.node is not None for n in near.sources)
    n_inputs = len(near.sources) - n_nodes
    reads = " and ".join(counted(n, what) for n, what in ((n_nodes, "node"), (n_inputs, "tensor")) if n) or "no node"
    upper = f"{across}{into if near.sources else across}{across} reads {reads} "
    lower = f"{across}{out if near.readers else across}{across} read by {counted(len(near.readers), 'node')} "
    text = Text(f" {tl}{upper.ljust(inner, across)[:inner]}{tr}\n", no_wrap=True, end="")
    right = ""
    if figures is not None:
        time, share = duration(sum(figures.time[i] for i in nodes)), share_told(figures.share(nodes))
        right = f"{time}{share:>8} "
    room = inner - len(right) - 1
    name = fitted(title, min(cell_len(title), room), look)
    text.append(f" {down} ")
    text.append(name, "bold")
    rest = f"  {told}" if told and cell_len(name) + 2 + len(told) < room else ""
    text.append(rest + " " * (room - cell_len(name) - len(rest)) + right)
    text.append(f"{down}\n {bl}{lower.ljust(inner, across)[:inner]}{br}\n")
    return text


class Neighbours(Static, can_focus=True):
    """The picture; the arrows go from one neighbour to the next."""

    DEFAULT_CSS = "Neighbours { height: auto; background: $background; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("enter", "follow", "follow", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
    ]

    class Followed(Message):
        """To go to the node of this number; `reader`: it reads the one shown."""

        def __init__(self, node: int, reader: bool) -> None:
            super().__init__()
            self.node, self.reader = node, reader

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.near = Around((), ())
        self.chosen = 0
        self._at: list[int] = []
        self._text = Text()
        self._draw: tuple[str, str, Figures | None, Sequence[int], Look] | None = None

    def take(self, near: Around, *, forward: bool = True) -> None:
        """Other neighbours; the cursor goes to the first reader, else to the first source."""
        self.near = near
        first = len(near.stops) - len(near.readers)
        self.chosen = first if forward and near.readers else 0

    def show(self, title: str, told: str, figures: Figures | None, nodes: Sequence[int], look: Look) -> None:
        """Draw the picture, where it changed."""
        self._draw = title, told, figures, nodes, look
        width = min(self.size.width, _WIDEST)
        chosen = self.chosen if self.has_focus else None
        text, self._at = picture(title, told, self.near, figures, nodes, width, look, chosen)
        if width and text != self._text:
            self.update(text, layout=text.plain.count("\n") != self._text.plain.count("\n"))
            self._text = text

    def _again(self) -> None:
        if self._draw is not None:
            self.show(*self._draw)

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._again()

    def on_resize(self) -> None:
        self._again()

    def action_move(self, by: int) -> None:
        """To the next neighbour; beyond the last one the details come into sight."""
        to = self.chosen + by
        if 0 <= to < len(self.near.stops):
            self.chosen = to
            self._again()
            if isinstance(self.parent, Widget):
                line = Region(0, self._at[to], self.size.width, 1)
                self.parent.scroll_to_region(line, animate=False)
        else:
            self.action_page(by, lines=1)

    def action_page(self, by: int, lines: int = 0) -> None:
        if isinstance(self.parent, Widget):
            self.parent.scroll_relative(y=by * (lines or self.parent.size.height - 1), animate=False)

    def action_follow(self) -> None:
        stops = self.near.stops
        if stops:
            reader = self.chosen >= len(stops) - len(self.near.readers)
            self.post_message(self.Followed(stops[self.chosen], reader))

    def on_click(self, event: events.Click) -> None:
        if event.y in self._at:
            self.chosen = self._at.index(event.y)
            self.action_follow()
