"""The outline of a graph: layers, their blocks, the nodes of these, and the ops that a node stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ggtui.core.runtime.record import GraphInfo, NodeInfo
from ggtui.viz.dot import tensor_text
from ggtui.viz.tables import duration
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets.heat import Look, share_told, told, value
from ggtui.viz.tui.widgets.node_figures import Figures

_TIME, _SHARE, _VALUE, _BAR = 9, 8, 11, 8  # columns, with the blank at their left
_WIDE = 62  # columns from which on share and value both have their own
_NAME = 36  # columns that a name is given at most


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the outline.

    key     the same in every graph of the model
    nodes   the numbers of the nodes it stands for
    kind    "layer", "block", "node" or "original"
    parent  the key of the group it is in; "" at the top
    """

    key: str
    text: str
    kind: str
    nodes: tuple[int, ...]
    parent: str = ""

    @property
    def depth(self) -> int:
        return ("layer", "block", "node", "original").index(self.kind) if self.parent else 0

    @property
    def is_group(self) -> bool:
        return self.kind in ("layer", "block")


def key_of(node: NodeInfo) -> str:
    """Of a node's line."""
    return f"node {node.key or node.id}"


def items_of(graph: GraphInfo) -> tuple[Item, ...]:
    """All lines, in the order of the graph."""
    made: list[Item] = []
    seen_layer = False
    has_layers = any(n.layer is not None for n in graph.nodes)
    longest = max((len(o.name) for n in graph.nodes for o in n.originals), default=0)
    places: dict[str, dict[str, list[NodeInfo]]] = {}
    for n in graph.nodes:
        seen_layer = seen_layer or n.layer is not None
        outside = ("after the layers" if seen_layer else "before the layers") if has_layers else "outside layers"
        layer = outside if n.layer is None else f"blk.{n.layer}"
        places.setdefault(layer, {}).setdefault(_block(n), []).append(n)
    for layer, blocks in places.items():
        made.append(Item(layer, layer, "layer", tuple(n.id for nodes in blocks.values() for n in nodes)))
        for block, nodes in blocks.items():
            parent = f"{layer} {block}" if block else layer
            if block:
                made.append(Item(parent, block, "block", tuple(n.id for n in nodes), layer))
            for n in nodes:
                key = key_of(n)
                made.append(Item(key, printable_line(n.name), "node", (n.id,), parent))
                for i, o in enumerate(n.originals if len(n.originals) > 1 else ()):
                    text = printable_line(f"{o.op:9} {o.name:{longest}} {tensor_text(o.result)}")
                    made.append(Item(f"{key} {i}", text, "original", (n.id,), key))
    return tuple(made)


def _block(node: NodeInfo) -> str:
    """attn or ffn; nothing outside of layers."""
    if node.layer is None:
        return ""
    return "ffn" if node.name.removeprefix(f"blk.{node.layer}.").startswith("ffn") else "attn"


def visible(items: Iterable[Item], folded: set[str], originals: bool) -> list[Item]:
    """The lines that are not inside of folded groups."""
    hidden = set(folded)
    shown = []
    for item in items:
        if item.parent in hidden:
            hidden.add(item.key)
        elif originals or item.kind != "original":
            shown.append(item)
    return shown


def hottest(items: Iterable[Item], figures: Figures | None, heat: str) -> float:
    """The highest value of any line, layer, block or node, which is a full bar: one scale for all of them. The
    machine's limit is itself the full bar."""
    if heat == "limit":
        return 1.0
    return max((value(figures, item.nodes, heat) for item in items), default=0.0) if figures is not None else 0.0


@dataclass(frozen=True, slots=True)
class Columns:
    """Their widths; 0: not there."""

    name: int
    share: int
    value: int
    bar: int

    @classmethod
    def of(cls, width: int, heat: str) -> Columns:
        """Within `width` columns. The time is always there; the share makes room for another value."""
        apart = width >= _WIDE
        share = _SHARE if apart or heat == "time" else 0
        column = _VALUE if apart and heat != "time" else 0 if heat == "time" else _SHARE + 2
        left = width - 1 - _TIME - (_SHARE + _VALUE if apart else _SHARE + 2) - _BAR
        name = min(left, _NAME)
        return cls(max(name, 8), share, column, _BAR + min(max(left - name, 0), 16))


def head(columns: Columns, heat: str) -> Text:
    """The names of the columns."""
    line = " " + "node".ljust(columns.name) + "time".rjust(_TIME)
    line += "share".rjust(columns.share) if columns.share else ""
    line += heat.rjust(columns.value) if columns.value else ""
    return Text(f"{line} heat", style="dim", no_wrap=True, end="")


def line(
    item: Item,
    columns: Columns,
    figures: Figures | None,
    heat: str,
    most: float,
    look: Look,
    *,
    folded: bool = False,
    current: bool = False,
    focused: bool = False,
) -> Text:
    """A line of the outline: name, time, share or another value, bar."""
    text = Text(">" if current else " ", style="bold" if current else "", no_wrap=True, end="")
    signs = ("+ ", "- ") if look.ascii_only else ("▸ ", "▾ ")
    sign = signs[not folded] if item.is_group else ""
    if item.kind == "original":
        width = columns.name + _TIME + columns.share + columns.value + columns.bar
        text.append(fitted(" " * 6 + item.text, width, look), "dim")
        _select(text, current, focused)
        return text
    name = "  " * item.depth + sign + item.text
    text.append(fitted(name, columns.name, look), "bold" if item.is_group else "")
    if figures is None:
        _select(text, current, focused)
        return text
    amount = value(figures, item.nodes, heat)
    part = amount / most if most else 0.0
    color = "" if current and focused else look.color(part)
    text.append(duration(sum(figures.time[i] for i in item.nodes)).rjust(_TIME))
    if columns.share:
        text.append(share_told(figures.share(item.nodes)).rjust(columns.share), color if heat == "time" else "")
    if columns.value:
        text.append(told(amount, heat).rjust(columns.value), color)
    text.append(" " + look.bar(part, columns.bar - 1), color)
    _select(text, current, focused)
    return text


def _select(text: Text, current: bool, focused: bool) -> None:
    if current:
        text.stylize("reverse" if focused else "underline", 1, len(text))


def fitted(text: str, width: int, look: Look) -> str:
    """As wide as `width` columns, cut short where it is wider."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + look.dots()


def matches(graph: GraphInfo, wanted: str) -> list[str]:
    """The keys of the nodes whose name, or that of an original, has `wanted` in it, in any case."""
    wanted = wanted.casefold()
    return [
        key_of(n)
        for n in graph.nodes
        if wanted and any(wanted in name.casefold() for name in (n.name, *(o.name for o in n.originals)))
    ]
