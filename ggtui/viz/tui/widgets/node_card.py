"""What there is to know about a node, or about some nodes together, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Static

from ggtui.core.runtime.record import GraphInfo, NodeInfo
from ggtui.perf.lanes import on_device, others
from ggtui.viz.dot import tensor_text
from ggtui.viz.tables import duration, rate, size
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets.heat import Look, share_told, told, value
from ggtui.viz.tui.widgets.neighbours import bytes_told, counted
from ggtui.viz.tui.widgets.node_figures import Figures
from ggtui.viz.tui.widgets.outline import fitted
from ggtui.viz.tui.widgets.status import sparkline

_LABEL = 10  # columns
_HOTTEST = 8  # nodes that are told of a group

Fact = tuple[str, Text | str]  # label, "" where it goes on; what is told


def card(graph: GraphInfo, nodes: Sequence[int], figures: Figures | None, heat: str, width: int, look: Look) -> Text:
    """The facts of these nodes, in lines of at most `width` columns."""
    text = Text(no_wrap=True, end="")
    facts = [*(_times(graph, nodes, figures, width, look) if figures is not None else ())]
    if len(nodes) == 1:
        node = graph.nodes[nodes[0]]
        facts += _parts(node, figures) if figures is not None else []
        facts += _node(node)
    elif figures is not None:
        facts += _group(graph, nodes, figures, heat, width, look)
    for label, fact in facts:
        text.append(f" {label:{_LABEL}}", "dim")
        room = width - _LABEL - 2
        if isinstance(fact, Text):
            fact.truncate(room)
            text.append_text(fact)
        else:
            text.append(fitted(fact, min(cell_len(fact), room), look))
        text.append("\n")
    text.right_crop(1)
    return text


def _times(graph: GraphInfo, nodes: Sequence[int], figures: Figures, width: int, look: Look) -> Iterator[Fact]:
    ns = sum(figures.time[i] for i in nodes)
    yield (
        "time",
        f"{duration(ns)}, {share_told(figures.share(nodes))} of an evaluation, the mean of {figures.n}",
    )
    if figures.history is not None:
        history = figures.history[:, list(nodes)].sum(axis=1)
        sparks = sparkline(history.tolist(), max(min(width - _LABEL - 2, len(history)), 1), look.ascii_only)
        yield counted(figures.n, "run"), Text(sparks, look.accent)
        least, median, most = (duration(float(f(history))) for f in (np.min, np.median, np.max))
        yield "", f"least {least}, median {median}, most {most}"
    yield "waiting", f"{duration(value(figures, nodes, 'waiting'))} for {others(graph.lanes)}"
    flops, traffic = (sum(column[i] for i in nodes) for column in (figures.flops, figures.traffic))
    if ns:
        limit, part = figures.limit(nodes)
        reached = f", {part:.0%} of what {limit} allows" if part is not None else ""
        computed = f", {rate(flops * 1e9 / ns)} GFLOP/s" if flops else ""
        yield "speed", f"{rate(traffic * 1e9 / ns)} GB/s{computed}{reached}"
    yield "cost", f"{size(round(traffic))} read and written, {flops:,.0f} operations"


def _parts(node: NodeInfo, figures: Figures) -> list[Fact]:
    """The loops of a node. Its costs belong to the last one, which makes its result."""
    if len(node.parts) < 2:
        return []
    parts = [printable_line(part) for part in node.parts]
    longest = max(map(len, parts))
    facts: list[Fact] = []
    for i, (part, ns) in enumerate(zip(parts, figures.parts[node.id], strict=False)):
        line = f"{part:{longest}} {duration(ns):>9}"
        if i + 1 == len(parts):
            line += f"  {size(round(figures.traffic[node.id]))}, {figures.flops[node.id]:,.0f} operations"
        facts.append(("" if i else "parts", line))
    return facts


def _node(node: NodeInfo) -> Iterator[Fact]:
    named = "" if node.result.name == node.name else f", as {printable_line(node.result.name)}"
    yield "result", f"{tensor_text(node.result)}, {bytes_told(node.result)}{named}"
    yield "op", printable_line(f"{node.op}; node {node.id}, phase {node.phase}{on_device(node)}")
    ops = max((len(o.op) for o in node.originals), default=0)
    names = max((len(o.name) for o in node.originals), default=0)
    for i, o in enumerate(node.originals if len(node.originals) > 1 else ()):
        line = printable_line(f"{o.op:{ops}}  {o.name:{names}}  {tensor_text(o.result)}")
        yield "" if i else "computes", line


def _group(
    graph: GraphInfo, nodes: Sequence[int], figures: Figures, heat: str, width: int, look: Look
) -> Iterator[Fact]:
    """Its hottest nodes."""
    by_heat = sorted(nodes, key=lambda i: -value(figures, [i], heat))[:_HOTTEST]
    most = 1.0 if heat == "limit" else value(figures, by_heat[:1], heat)
    longest = max(len(printable_line(graph.nodes[i].name)) for i in by_heat)
    for row, i in enumerate(by_heat):
        amount = value(figures, [i], heat)
        part = amount / most if most else 0.0
        line = Text(fitted(printable_line(graph.nodes[i].name), min(longest, max(width - _LABEL - 30, 8)), look))
        line.append(f"{duration(figures.time[i]):>9}{share_told(figures.share([i])):>8}")
        if heat != "time":
            line.append(f"{told(amount, heat):>11}", look.color(part))
        line.append(f" {look.bar(part, 8)}", look.color(part))
        yield "" if row else "hottest", line


class NodeCard(Static):
    """The card on the screen."""

    DEFAULT_CSS = "NodeCard { height: auto; margin-top: 1; }"

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._text = Text()

    def show(self, text: Text) -> None:
        """Draw it, where it changed."""
        if text != self._text:
            self.update(text, layout=text.plain.count("\n") != self._text.plain.count("\n"))
            self._text = text
