"""The Graph screen: an outline of the graph that runs, beside the neighbours and the figures of the chosen node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from ggtui.core.errors import GgtuiError
from ggtui.viz.text import model_name, printable_line
from ggtui.viz.tui.base import RunScreen
from ggtui.viz.tui.screens import nothing_ran

if TYPE_CHECKING:
    from ggtui.core.runtime.record import GraphInfo, Trace
    from ggtui.viz.tui.widgets.heat import Look
    from ggtui.viz.tui.widgets.neighbours import Neighbours
    from ggtui.viz.tui.widgets.node_figures import Figures

_WITH_COLOURS = 120  # columns from which the colours of the heat are shown
STACKED = 110  # columns below which the neighbours stand below the outline


class Find(Input):
    """The line for a name to look for. It is there as long as it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "screen.leave_find", "back")]

    def on_blur(self) -> None:
        self.display = False


class GraphScreen(RunScreen):
    """What it needs to draw figures is imported when it is first opened, so that it delays no other screen."""

    MORE_KEYS = (("up down", "choose a node"), ("left right", "fold and unfold; Enter and space too"))
    CSS = """
    #graph-top { height: 1; }
    #graph-status { height: 1; width: 1fr; padding: 0 1; color: $text-muted; }
    #graph-find { height: 1; width: 26; border: none; padding: 0 1; background: $surface; display: none; }
    #graph-find:focus { border: none; }
    #graph-calm { height: 1fr; padding: 1 2; display: none; }
    #graph-left { width: 52; height: 1fr; }
    #graph-head { height: 1; }
    #graph-right { width: 1fr; height: 1fr; padding-left: 1; scrollbar-size-vertical: 1; }
    #graph-panels { height: 1fr; }
    GraphScreen.-wide #graph-left { width: 56; }
    GraphScreen.-huge #graph-left { width: 84; }
    GraphScreen.-stacked #graph-panels { layout: vertical; }
    GraphScreen.-stacked #graph-left { width: 1fr; height: 4fr; }
    GraphScreen.-stacked #graph-right { width: 1fr; height: 5fr; padding-left: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "graph", "prompt", tooltip="the graph of the prompt, or that of generation"),
        Binding("h", "heat", "heat", tooltip="colours and bars: time, waiting, bytes, part of the limit"),
        Binding("f", "originals", "ops", tooltip="list the ops that fused nodes stand for"),
        Binding("slash", "find", "find", key_display="/", tooltip="find a node by a part of its name"),
        Binding("n", "next_match", "next", tooltip="the next node that was looked for"),
        Binding("asterisk", "fold_all", "all", key_display="*", tooltip="unfold all, or fold all layers"),
        Binding("tab", "app.focus_next", "walk", tooltip="to the neighbours and back; Enter goes to one"),
        Binding("backspace", "back", "back", key_display="bksp", tooltip="back to where Enter came from"),
        Binding("o", "save", "save", tooltip="write a picture of the graph to a file"),
    ]

    def body(self) -> ComposeResult:
        from ggtui.viz.tui.widgets.neighbours import Neighbours
        from ggtui.viz.tui.widgets.node_card import NodeCard
        from ggtui.viz.tui.widgets.outline_view import Outline

        self._figures: Figures | None = None
        self._graph: GraphInfo | None = None
        self._index: int | None = None  # of the graph that was asked for
        self._heat = "time"
        self._back: list[str] = []
        self._wanted = ""
        self._told = ""
        self._outline, self._neighbours, self._card = Outline(), Neighbours(), NodeCard()
        with Horizontal(id="graph-top"):
            yield Find(placeholder="part of a name", id="graph-find")
            yield Static(id="graph-status", markup=False)
        yield Static(id="graph-calm", markup=False)
        with Horizontal(id="graph-panels"):
            with Vertical(id="graph-left"):
                yield Static(id="graph-head", markup=False)
                yield self._outline
            with VerticalScroll(id="graph-right", can_focus=False):
                yield self._neighbours
                yield self._card

    # ---- drawing ----

    def show(self) -> None:
        from ggtui.viz.tui.widgets.node_figures import Figures

        graphs = self.live.graphs
        calm = self.query_one("#graph-calm", Static)
        calm.display = bool(self.lacking)
        calm.update(self.lacking)
        self.query_one("#graph-panels").display = bool(graphs)
        if not graphs:
            self._say(Text())
            return
        index = self._shown_index()
        stage = next((stage for stage in self.live.stages() if stage.graph is graphs[index]), None)
        self._figures = Figures.of(stage) if stage is not None else None
        if self._graph is not graphs[index]:
            self._graph = graphs[index]
            self._outline.take(self._graph)
            self._take_current()
        self._draw_all()

    def _shown_index(self) -> int:
        """The graph that was asked for, else that of generation; of a saved run one that ran."""
        graphs = self.live.graphs
        if self._index is not None and self._index < len(graphs):
            return self._index
        order = sorted(range(len(graphs)), key=lambda i: graphs[i].n_tokens > 1)
        ran = {t.graph for t in self.live.trace().tokens}
        return next((i for i in order if self.live.state == "saved" and i in ran), order[0])

    def _draw_all(self) -> None:
        from ggtui.viz.tui.widgets.outline import Columns, head

        self._outline.show(self._figures, self._heat, self._look())
        top = head(Columns.of(self._outline.size.width or 52, self._heat), self._heat)
        self._update("#graph-head", top)
        self._draw_status()
        self._draw_right()

    def _draw_right(self) -> None:
        from ggtui.viz.tui.widgets.node_card import card

        item, graph = self._outline.current, self._graph
        if item is None or graph is None:
            return
        look, title, said = self._look(), item.text, f"{len(item.nodes)} nodes"
        if not item.is_group:
            node = graph.nodes[item.nodes[0]]
            title, said = printable_line(node.name), printable_line(node.op)
        elif item.kind == "block":
            title = item.key
        self._neighbours.show(title, said, self._figures, item.nodes, look)
        self._card.show(card(graph, item.nodes, self._figures, self._heat, self._card.size.width, look))

    def _draw_status(self) -> None:
        from ggtui.perf.lanes import others
        from ggtui.viz.tables import duration
        from ggtui.viz.tui.widgets.heat import MEANING
        from ggtui.viz.tui.widgets.neighbours import counted

        graph, figures = self._graph, self._figures
        if graph is None:
            return
        text = Text(no_wrap=True, end="")
        text.append(f"{self._told}  " if self._told else "", "bold")
        most = f" of up to {graph.n_tokens} tokens" if graph.n_tokens > 1 else ""
        text.append(f"{self._graph_name()}{most}  {len(graph.nodes)} nodes  ")
        if figures is not None:
            text.append(f"{counted(len(figures.stage.tokens), 'evaluation')} of {duration(figures.evaluation)}  ")
            text.append(f"heat: {MEANING[self._heat].format(others=others(graph.lanes))}")
            self._legend(text)
        elif not self.live.n_evaluations:
            text.append(nothing_ran())
        elif self.live.unprofiled:
            what_to_do = ": Ctrl+P, Profile on" if self.live.state != "saved" else ""
            text.append(f"node times are not recorded{what_to_do}")
        else:
            text.append("no evaluation of it is among the recorded ones")
        self._say(text)

    def _legend(self, text: Text) -> None:
        """What the colours are: one scale for layers, blocks and nodes."""
        from ggtui.viz.tui.widgets.heat import STEPS, told

        most, look = self._outline.most, self._look()
        if not most:
            return
        text.append(f", to {told(most, self._heat)}")
        if self.size.width >= _WITH_COLOURS:
            text.append("  ")
            for step in range(STEPS):
                text.append("#" if look.ascii_only else "■", look.color(2.0**-step))
            text.append(" each half of the one before")

    def _say(self, text: Text) -> None:
        self._update("#graph-status", text)

    def _update(self, selector: str, text: Text) -> None:
        widget = self.query_one(selector, Static)
        if widget.content != text:
            widget.update(text, layout=False)

    def _graph_name(self) -> str:
        """Of the graph shown."""
        from ggtui.perf.stage import stage_name

        assert self._graph is not None
        return stage_name(self._graph)

    def _look(self) -> Look:
        from ggtui.viz.tui.widgets.heat import Look

        return Look(getattr(self.app, "ascii_only", False), self.app.current_theme.dark)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < STACKED, "-stacked")
        self.set_class(event.size.width >= 160, "-huge")
        self.call_after_refresh(self.draw)

    def on_mount(self) -> None:
        self._outline.focus()

    # ---- going through the graph ----

    def _take_current(self, *, forward: bool = True) -> None:
        """Another node is the chosen one."""
        from ggtui.viz.tui.widgets.neighbours import around

        item = self._outline.current
        if item is not None and self._graph is not None:
            self._neighbours.take(around(self._graph, item.nodes), forward=forward)
            self.query_one("#graph-right").scroll_home(animate=False)

    def on_outline_moved(self) -> None:
        self._take_current()
        self._draw_right()

    def on_outline_entered(self) -> None:
        self._neighbours.focus()

    def on_neighbours_followed(self, event: Neighbours.Followed) -> None:
        from ggtui.viz.tui.widgets.outline import key_of

        item, graph = self._outline.current, self._graph
        if item is not None and graph is not None:
            self._back.append(item.key)
            self._go(key_of(graph.nodes[event.node]), forward=event.reader)

    def _go(self, key: str, *, forward: bool = True) -> None:
        with self.prevent(type(self._outline).Moved):
            self._outline.reveal(key)
        self._take_current(forward=forward)
        self._draw_right()

    def _is_there(self, key: str) -> bool:
        return any(item.key == key for item in self._outline.items)

    def action_back(self) -> None:
        while self._back:
            key = self._back.pop()
            if self._is_there(key):
                self._go(key)
                return

    # ---- what is shown of it ----

    def action_graph(self) -> None:
        """The next graph."""
        if self.live.graphs:
            self._index = (self._shown_index() + 1) % len(self.live.graphs)
            self._told = ""
            self.show()

    def action_heat(self) -> None:
        from ggtui.viz.tui.widgets.heat import HEATS

        self._heat = HEATS[(HEATS.index(self._heat) + 1) % len(HEATS)]
        self.show()

    def action_originals(self) -> None:
        self._outline.set_originals(not self._outline.originals)
        self.show()

    def action_fold_all(self) -> None:
        self._outline.fold_all()
        self.show()

    # ---- finding ----

    def action_find(self) -> None:
        find = self.query_one(Find)
        find.display = True
        find.value = ""
        find.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip()
        self._jump(0)

    def on_input_submitted(self) -> None:
        self.action_leave_find()

    def action_leave_find(self) -> None:
        self._outline.focus()

    def action_next_match(self) -> None:
        self._jump(1)

    def _jump(self, by: int) -> None:
        """To the first node that matches, or the next one."""
        from ggtui.viz.tui.widgets.outline import matches

        item = self._outline.current
        if not self._wanted or self._graph is None or item is None:
            self._told = ""
            return
        found = matches(self._graph, self._wanted)
        shown = printable_line(self._wanted)
        if found:
            at = (found.index(item.key) + by) % len(found) if by and item.key in found else 0
            self._told = f"{shown}: {at + 1} of {len(found)}"
            self._go(found[at])
        else:
            self._told = f"no node has {shown} in its name"
        self._draw_status()

    # ---- the picture ----

    def action_save(self) -> None:
        from ggtui.viz.tui.dialogs.save_graph import SaveGraph

        if self._graph is None:
            self.app.notify(self.lacking)
            return
        model = model_name(self.live.run.model) or "graph"
        name = self._graph_name()
        self.app.push_screen(SaveGraph(f"A picture of the {name} graph", f"{model}-{name}.svg"), self._save)

    def _save(self, path: Path | None) -> None:
        graph = self._graph
        if path is None or graph is None:
            return
        trace, model = self.live.trace(), self.live.run.model

        def draw() -> None:
            try:
                _write(trace, graph, model, path)
            except (GgtuiError, OSError) as error:
                self.app.notify(printable_line(str(error)), severity="error", timeout=20, markup=False)
            else:
                shown = printable_line(str(path.resolve()))
                self.app.notify(f"The graph is in {shown}", timeout=10, markup=False)

        self.app.notify(f"Drawing {printable_line(path.name)}", markup=False)
        self.run_worker(draw, thread=True, group="graph picture")


def _write(trace: Trace, graph: GraphInfo, model: str, path: Path) -> None:
    """Draw the graph with its times, as `ggtui trace --dot` does."""
    from ggtui.perf.stage import stage_name, stages
    from ggtui.perf.words import what_ran
    from ggtui.viz.dot import dot_text
    from ggtui.viz.picture import check_ending, has_markup, write_picture

    stage = next((s for s in stages(trace) if s.graph is graph), None)
    title = f"{model}, {what_ran(stage_name(graph))}"
    write_picture(dot_text(graph, stage, title=title, markup=has_markup(check_ending(path))), path)
