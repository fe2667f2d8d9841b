"""Draws the graph that ran as DOT text, which Graphviz makes a picture of.

Nodes are coloured and sized by their share of the time; a cluster is a layer. Layers stand side by side in rows, since
one below the other they would make a strip that no screen holds; what leads from one row to another, or to a layer that
is not shown, ends in a note with the name of its other end. Tensors that no node made are told in the labels of their
readers: drawn, the shared ones would tie all layers into a knot. All text stands on a ground of its own and lines are
of a middle grey, so that a picture can be read on light and dark pages alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log, log2, prod
from statistics import fmean
from typing import TYPE_CHECKING

from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import GraphInfo, NodeInfo, TensorInfo
from ggtui.perf.lanes import in_words, on_device, others, whose
from ggtui.perf.stage import Stage
from ggtui.perf.table import rows
from ggtui.perf.words import each_of
from ggtui.viz.labels import CARD, INK, LINE, Line, Markup, Plain, Swatch, plain
from ggtui.viz.tables import duration, percent, shape, size
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from graphviz import Digraph

COLLAPSE = ("layer", "op", "none")
MAX_UNCOLLAPSED = 400  # nodes from which on layers are folded unless asked otherwise

# Of an element of the types that nodes make; q8_a has 48 bytes in a block of 32.
_BYTES = {"f32": 4, "i32": 4, "f16": 2, "bf16": 2, "q8_a": 1.5}
_LAYER = "#8791a124"
# Ground, text and size of the name, for nodes that take up to twice the time of the row before.
_HEAT = (
    ("#e4e9ef", INK, 10),
    ("#fdeccb", INK, 10),
    ("#fdcf8a", INK, 11),
    ("#fba55b", INK, 12),
    ("#ec6f47", INK, 14),
    ("#b3203a", "#ffffff", 17),
)
# What a lane's time goes into beside the nodes, and the least part of it that is drawn.
_REST = {
    "wait": "waiting for {others}", "wake": "waking up", "lost": "not scheduled",
    "held": "waiting for a thread that was not scheduled", "rest": "resting beside other programs",
}  # fmt: skip
_LEAST_REST = 0.005
_FONT = "Helvetica,Arial,sans-serif"
_HEADING = "a box takes at most"
_SHAPE = 1.7  # width to height of a picture that is at ease on a screen


@dataclass(frozen=True, slots=True)
class _Times:
    """Nanoseconds of each node at work, its share of all work, nanoseconds of waiting after it, its operations and
    bytes, and nanoseconds of the hottest box."""

    work: Mapping[int, float]
    share: Mapping[int, float]
    wait: Mapping[int, float]
    flops: Mapping[int, float]
    traffic: Mapping[int, float]
    hottest: float

    @classmethod
    def of(cls, stage: Stage | None, boxes: Sequence[_Box]) -> _Times:
        if stage is None:
            return cls({}, {}, {}, {}, {}, 0.0)
        by_key = {row.key: row for row in rows(stage)}
        row_of = {n.id: by_key[n.key or n.name] for n in stage.graph.nodes}
        work = {i: row.time.mean for i, row in row_of.items()}
        share = {i: row.work_share for i, row in row_of.items()}
        wait = {i: row.wait_ns for i, row in row_of.items()}
        hottest = max(sum(work[n.id] for n in box.nodes) for box in boxes)
        flops, traffic = (dict(enumerate(cost.tolist())) for cost in (stage.flops, stage.traffic))
        return cls(work, share, wait, flops, traffic, hottest)

    def sum(self, nodes: Iterable[NodeInfo]) -> float:
        return sum(self.work.get(n.id, 0.0) for n in nodes)

    def told(self, nodes: Iterable[NodeInfo]) -> str:
        """The time of nodes and their share of the work; nothing where nothing was recorded."""
        mine = list(nodes)
        return f"{duration(self.sum(mine))} · {percent(sum(self.share[n.id] for n in mine))}" if self.hottest else ""

    def heat(self, ns: float) -> tuple[str, str, int]:
        if not ns or not self.hottest:
            return _HEAT[0]
        return _HEAT[min(max(0, len(_HEAT) - 1 + ceil(log2(ns / self.hottest))), len(_HEAT) - 1)]

    def scale(self) -> list[Swatch]:
        """The colours, from cool to hot, and the most time of each; none where nothing was recorded."""
        if not self.hottest:
            return []
        times = [self.hottest / 2**i for i in reversed(range(len(_HEAT)))]
        return [(duration(ns), *heat) for ns, heat in zip(times, _HEAT, strict=True)]


def tensor_text(t: TensorInfo) -> str:
    """Type and sizes: f32 768 x 4."""
    return f"{printable_line(t.type)} {shape(t.ne)}"


# ---- DOT text ----


@dataclass(frozen=True, slots=True)
class _Box:
    """What is drawn as one: a node, or those of a layer or an op folded together. `column` is where it stands."""

    key: str
    nodes: tuple[NodeInfo, ...]
    column: str


def dot_text(
    graph: GraphInfo,
    stage: Stage | None = None,
    *,
    collapse: str | None = None,
    layers: frozenset[int] | None = None,
    edges: bool = False,
    title: str = "",
    markup: bool = True,
) -> str:
    """The graph as DOT text.

    stage     its evaluations, by which nodes are coloured and sized
    collapse  "layer" or "op" folds the nodes of each into one, "none" draws each by itself; without it none below
              MAX_UNCOLLAPSED nodes, else layer
    layers    draw only the nodes of these layers
    edges     write the bytes that go along an edge beside it
    markup    whether what will read the text has markup in labels, as Graphviz's dot has and picture.py can tell

    Raises UsageError where no node is left to draw.
    """
    from graphviz import Digraph

    chosen = [n for n in graph.nodes if layers is None or n.layer in layers]
    if not chosen:
        known = sorted({n.layer for n in graph.nodes if n.layer is not None})
        has = f"layers {known[0]} to {known[-1]}" if known else "no layers"
        raise UsageError(f"no node of the graph is in the layers asked for: it has {has}")
    collapse = collapse or ("none" if len(chosen) < MAX_UNCOLLAPSED else "layer")
    boxes = _boxes(chosen, collapse)
    times = _Times.of(stage, boxes)
    dot = Digraph("ggtui")
    labels = Markup() if markup else Plain()
    gap = "0.3" if collapse == "layer" else "0.15"
    dot.attr(bgcolor="transparent", ranksep=gap, nodesep=gap, newrank="true", outputorder="edgesfirst", fontname=_FONT,
             labelloc="t", tooltip=" ",
             **labels.legend(_said(graph, stage, title), _HEADING, times.scale()))  # fmt: skip
    dot.attr("node", shape="box", style="filled,rounded", fontname=_FONT, margin="0.11,0.05", height="0.2",
             color=LINE, penwidth="0.7")  # fmt: skip
    dot.attr("edge", color=LINE, arrowsize="0.55", fontname=_FONT, fontsize="8")
    drawing = _Drawing(dot, graph, boxes, times, labels, collapse, edges)
    drawing.draw()
    drawing.draw_rest(stage)
    if not markup:
        drawing.draw_scale()
    return str(dot.source)


def _boxes(nodes: Sequence[NodeInfo], collapse: str) -> list[_Box]:
    groups: dict[tuple[str, str], list[NodeInfo]] = {}
    column = "before"
    for n in nodes:
        if n.layer is not None:
            column = f"layer {n.layer}"
        elif column != "before":
            column = "after"
        own = f"n{n.id}"
        key = {"none": own, "op": f"op {n.op}", "layer": own if n.layer is None else column}[collapse]
        groups.setdefault((key, "" if collapse == "op" else column), []).append(n)
    return [_Box(key, tuple(group), column) for (key, column), group in groups.items()]


@dataclass(slots=True)
class _Drawing:
    """Writes boxes, edges and what keeps them in their places to `dot`."""

    dot: Digraph
    graph: GraphInfo
    boxes: list[_Box]
    times: _Times
    labels: Plain
    collapse: str
    bytes_on_edges: bool

    def draw(self) -> None:
        box_of = {n.id: box for box in self.boxes for n in box.nodes}
        columns: dict[str, list[_Box]] = {}
        for box in self.boxes:
            columns.setdefault(box.column, []).append(box)
        rows = self._rows(list(columns))
        row_of = {name: r for r, row in enumerate(rows) for name in row}
        joined: dict[tuple[str, str], list[NodeInfo]] = {}  # what goes from box to box
        comes: dict[tuple[str, str], list[str]] = {}  # (node that is not in this row, column) -> boxes that read it
        goes: dict[str, list[NodeInfo]] = {}  # box -> its readers that are not in its row
        for n in self.graph.nodes:
            for source in (self.graph.nodes[i] for i in n.src):
                a, b = box_of.get(source.id), box_of.get(n.id)
                if a and b and (a is not b or self.collapse == "op"):
                    joined.setdefault((a.key, b.key), []).append(source)
                apart = bool(a and b and self.collapse == "none" and row_of[a.column] != row_of[b.column])
                if b and (apart or not a):
                    comes.setdefault((source.name, b.column), []).append(b.key)
                if a and (apart or not b):
                    goes.setdefault(a.key, []).append(n)
        notes: dict[str, list[tuple[str, str]]] = {name: [] for name in columns}  # column -> (key, text)
        ties: list[tuple[str, str]] = []  # between notes and boxes
        keys = {box.key: box for box in self.boxes}
        end = {name: boxes[-1].key for name, boxes in columns.items()}
        for i, ((name, column), readers) in enumerate(comes.items()):
            notes[column].append((f"from {i}", f"from {name}"))
            ties += [(f"from {i}", reader) for reader in dict.fromkeys(readers)]
        for i, (key, leaving) in enumerate(goes.items()):
            places = dict.fromkeys(n.name if n.layer is None else f"layer {n.layer}" for n in leaving)
            at = keys[key].column
            notes[at].append((f"to {i}", f"to {', '.join(places)}"))
            end[at] = f"to {i}"
            ties.append((key, f"to {i}"))
        fed = {(keys[a].column, b) for a, b in joined if a != b}
        first: dict[str, list[str]] = {}  # column -> boxes that read nothing within it
        for column, boxes in columns.items():
            first[column] = [key for key, text in notes[column] if text.startswith("from")]
            first[column] += [box.key for box in boxes if (column, box.key) not in fed] or [boxes[0].key]
            self._column(column, boxes, notes[column])
        self.dot.edges(ties)
        for (source_key, reader_key), sources in joined.items():
            self._edge(keys[source_key], keys[reader_key], sources, row_of)
        self._place(rows, first, end)

    def draw_rest(self, stage: Stage | None) -> None:
        """The time of the lanes that is no node's: a box each beside the rest."""
        lanes = self.graph.lanes
        for name, kind in _REST.items():
            part = stage.part(name) if stage is not None and len(lanes) > 1 else 0.0
            if stage is None or part < _LEAST_REST:
                continue
            what, ns = kind.format(others=others(lanes)), fmean(getattr(t, name) for t in stage.lanes)
            ground, ink, points = self.times.heat(ns)
            told = f"{duration(ns)} · {percent(part)} of {whose(lanes)}"
            lines = [(what, points, True), (told, 9, True)]
            self.dot.node(
                f"rest {name}", fillcolor=ground, tooltip=plain(f"{what}: {told}"), **self.labels.box(lines, ink)
            )

    def draw_scale(self) -> None:
        """What the colours mean, as a column of nodes beside the rest."""
        keys: list[str] = []
        with self.dot.subgraph(name="cluster scale") as part:
            part.attr(style="filled,rounded", color="transparent", margin="6", **self.labels.chip(_HEADING, 10))
            for text, ground, ink, points in reversed(self.times.scale()):
                keys.append(f"scale {len(keys)}")
                part.node(keys[-1], fillcolor=ground, tooltip=" ", **self.labels.box([(text, points, False)], ink))
        for a, b in pairwise(keys):
            self.dot.edge(a, b, style="invis")

    def _rows(self, columns: list[str]) -> list[list[str]]:
        """The columns in rows of about the same length, so that the picture has the shape of a screen."""
        if self.collapse == "op":
            return [columns]
        deepest = max(Counter(box.column for box in self.boxes).values())
        width, height = (2.2, 1.2) if self.collapse == "layer" else (2.3, 0.7 * deepest + 0.7)  # inches of a column
        shapes = {n: len(columns) / n * width / (n * height) for n in range(1, len(columns) + 1)}
        n_rows = min(shapes, key=lambda n: abs(log(shapes[n] / _SHAPE)))
        length = ceil(len(columns) / n_rows)
        return [columns[i : i + length] for i in range(0, len(columns), length)]

    def _place(self, rows: list[list[str]], first: dict[str, list[str]], end: dict[str, str]) -> None:
        """The columns of a row begin at one height and stand from left to right; the next row is below."""
        for row in rows if len(first) > 1 else []:
            with self.dot.subgraph() as same:
                same.attr(rank="same")
                for key in (key for column in row for key in first[column]):
                    same.node(key)
            for a, b in pairwise(row):
                self.dot.edge(first[a][-1], first[b][0], style="invis")
        for upper, lower in pairwise(rows):
            for a, b in zip(upper, lower, strict=False):
                self.dot.edge(end[a], first[b][-1], style="invis")

    def _column(self, column: str, boxes: list[_Box], notes: list[tuple[str, str]]) -> None:
        # Folded boxes go without a cluster: those of one box each lose their order.
        with self.dot.subgraph(name=f"cluster {column}" if self.collapse == "none" else None) as part:
            if self.collapse == "none":
                part.attr(style="filled,rounded", color="transparent", label="", tooltip=" ", margin="6")
            if self.collapse == "none" and column.startswith("layer"):
                told = self.times.told(n for box in boxes for n in box.nodes)
                part.attr(color=_LAYER, **self.labels.chip(f"{column} · {told}" if told else column, 10))
            for box in boxes:
                self._box(part, box)
            for key, text in notes:
                part.node(key, style="filled,dashed", fillcolor=CARD, tooltip=plain(text),
                          **self.labels.box([(text, 8, False)], INK))  # fmt: skip

    def _box(self, part: Digraph, box: _Box) -> None:
        work = self.times.sum(box.nodes)
        ground, ink, points = self.times.heat(work)
        if box.key == f"n{box.nodes[0].id}":
            lines = self._node_lines(box.nodes[0], points)
            tip = "\n".join(self._facts(box.nodes[0]))
        else:
            lines, tip = self._folded_lines(box, points)
        part.node(box.key, fillcolor=ground, tooltip=plain(tip), **self.labels.box(lines, ink))

    def _node_lines(self, n: NodeInfo, points: int) -> list[tuple[str, int, bool]]:
        name = n.name.removeprefix(f"blk.{n.layer}.")
        if n.kinds[-1:] == ("round",) and len(n.originals) < 2 and points == _HEAT[0][2]:
            # What only rounds for the next product, and takes no time to speak of, is drawn in passing.
            told = [tensor_text(n.result), *([self.times.told([n])] if self.times.hottest else [])]
            return [(name, 8, False), (" · ".join(told), 8, False)]
        lines = [(name, points, True)]
        lines += [(line, 8, False) for line in _wrapped([o.op for o in n.originals])]
        weights = max((t for t in n.inputs if len(t.ne) > 1 and t.ne[1] > 1 and t.name), key=_elements, default=None)
        read = f"{tensor_text(weights)} → " if weights else ""
        lines.append((read + tensor_text(n.result), 8, False))
        if self.times.hottest:
            lines.append((self.times.told([n]), 9, True))
        return lines

    def _folded_lines(self, box: _Box, points: int) -> tuple[list[tuple[str, int, bool]], str]:
        """A heading, the time, and the three nodes that take most of it."""
        name = box.key if self.collapse == "layer" else box.nodes[0].op
        lines = [(name, points, True), (f"{len(box.nodes)} node{'s' * (len(box.nodes) > 1)}", 8, False)]
        by_time = sorted(box.nodes, key=lambda n: -self.times.sum([n]))
        if self.times.hottest:
            lines.append((self.times.told(box.nodes), 9, True))
            lines += [(f"{n.name.removeprefix(f'blk.{n.layer}.')} {self.times.told([n])}", 8, False)
                      for n in by_time[:3] if len(box.nodes) > 1]  # fmt: skip
        tip = [name, *self._cost(box.nodes)]
        tip += [f"{n.name} ({n.op}) {self.times.told([n])}" for n in by_time]
        return lines, "\n".join(tip)

    def _cost(self, nodes: Sequence[NodeInfo]) -> list[str]:
        """What nodes cost in the evaluations that were recorded; nothing where none was."""
        if not self.times.flops:
            return []
        flops, traffic = (sum(cost[n.id] for n in nodes) for cost in (self.times.flops, self.times.traffic))
        return [f"cost: {flops:,.0f} operations, {size(round(traffic))} read and written"]

    def _facts(self, n: NodeInfo) -> list[str]:
        """What there is to know about a node, line by line."""
        facts = [
            f"{n.name} (node {n.id}, phase {n.phase}{on_device(n)})",
            f"computes: {', '.join(f'{o.op} {o.name}'.rstrip() for o in n.originals) or n.op}",
            f"result: {tensor_text(n.result)}",
            *(f"reads: {t.name + ' ' if t.name else ''}{tensor_text(t)}" for t in n.inputs),
            *self._cost([n]),
        ]
        if ns := self.times.work.get(n.id, 0.0):
            told, wait = self.times.told([n]), duration(self.times.wait[n.id])
            facts.append(f"time: {told}, then {wait} waiting for {others(self.graph.lanes)}")
            facts.append(f"speed: {self.times.traffic[n.id] / ns:.3g} GB/s, {self.times.flops[n.id] / ns:.3g} GFLOP/s")
        return facts

    def _edge(self, a: _Box, b: _Box, sources: list[NodeInfo], row_of: dict[str, int]) -> None:
        attributes = {}
        if self.collapse != "op" and a.column != b.column:
            attributes["constraint"] = "false"
        if self.collapse == "none" and row_of[a.column] != row_of[b.column]:
            attributes["style"] = "invis"  # the notes at both ends show it
        told = [f"×{len(sources)}"] if self.collapse == "op" and len(sources) > 1 else []
        if self.bytes_on_edges:
            sizes = [int(prod(n.result.ne) * _BYTES[n.result.type]) for n in sources if n.result.type in _BYTES]
            cache = "≤ " if any("store" in n.kinds for n in sources) else ""  # readers take the rows in use
            told += [cache + size(sum(sizes))] if len(sizes) == len(sources) else []
        if told and "style" not in attributes:
            attributes |= self.labels.chip(" ".join(told), 8, CARD, INK)
        names = " and ".join(dict.fromkeys(n.name for n in sources))
        self.dot.edge(a.key, b.key, edgetooltip=plain(f"{names} to {b.nodes[0].name if len(b.nodes) == 1 else b.key}"),
                      **attributes)  # fmt: skip


def _elements(t: TensorInfo) -> int:
    return prod(t.ne)


def _wrapped(ops: list[str], width: int = 26) -> list[str]:
    """The ops joined by plus signs, in lines of about that width."""
    lines = [""]
    for op in ops:
        if lines[-1] and len(lines[-1]) + len(op) > width:
            lines[-1] += " +"
            lines.append("")
        lines[-1] += (" + " if lines[-1] else "") + op
    return lines


def _said(graph: GraphInfo, stage: Stage | None, title: str) -> list[Line]:
    """What was run, and what an evaluation took."""
    said = f"{graph.isa}, {in_words(graph.lanes)}"
    if stage is not None:
        said += f"; a {each_of(stage)} takes {duration(stage.evals.mean)}, the mean of {int(stage.typical.sum())}"
        said += "; shares are of the work"
    return [*([(title, 14, True)] if title else []), (said, 10, False)]
