"""The Perf screen: which node takes how long, how near it is to the machine's limit, and where threads wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from ggtui.viz.live import Live
from ggtui.viz.messages import MeasureKl, MeasureLimits, Stop
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import RunScreen, Send
from ggtui.viz.tui.screens import ScreenRow

if TYPE_CHECKING:
    from rich.text import Text

    from ggtui.core.runtime.record import Trace
    from ggtui.perf.stage import Stage
    from ggtui.perf.table import Row
    from ggtui.viz.tui.widgets.node_table import NodeTable
    from ggtui.viz.tui.widgets.roofline_bar import RooflineBar


class PerfScreen(RunScreen):
    """The table of nodes over the newest evaluations, or over all of a saved run.

    What needs numpy is imported where it is used first, so that the app's first frame does not wait for it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "sort", tooltip="sort by the next column"),
        Binding("g", "group", "group", tooltip="a line for each node, op, layer or type"),
        Binding("slash", "filter", "filter", key_display="/", tooltip="only lines with these words; Esc ends it"),
        Binding("p", "stage", "stage", tooltip="generation, or reading prompts"),
        Binding("space", "pause", "pause", key_display="space", tooltip="keep what is shown as it is, or go on"),
        Binding("enter", "details", "node", key_display="Enter", tooltip="all about the line under the cursor"),
        Binding("e", "export", "export", tooltip="write what was recorded into a file"),
        Binding("d", "compare", "diff", tooltip="what changed against a saved run"),
        Binding("S", "reverse", "reverse", show=False, tooltip="sort the other way round"),
        Binding("tab", "stage", "stage", show=False, tooltip="generation, or reading prompts"),
        Binding("L", "measure", "limits", show=False, tooltip="measure what this machine allows"),
        Binding("K", "kl", "KL", show=False, tooltip="measure what matrices in fewer bits would cost; again ends it"),
        Binding("escape", "unfilter", "end filter", show=False, tooltip="end the filter"),
    ]
    CSS = """
    PerfScreen #nothing { height: 1fr; padding: 1 1; display: none; }
    PerfScreen.-nothing #nothing { display: block; }
    PerfScreen.-nothing NodeTable { display: none; }
    PerfScreen.-nothing RooflineBar { display: none; }
    PerfScreen #filter { height: 1; display: none; background: $surface; }
    PerfScreen #filter Static { width: 3; }
    PerfScreen #filter Input { width: 1fr; background: $surface; }
    PerfScreen.-filter #filter { display: block; }
    """

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self._stage = "generation"
        self._by = "node"
        self._sort, self._reverse = "time", False
        self._frozen: Trace | None = None
        self._measuring: int | None = None  # how many messages there were when limits were asked for
        self._known: tuple[tuple[int, bool, str, str], tuple[Stage, list[Row]] | None] | None = None
        self._base = ""  # the saved run compared with last

    def body(self) -> ComposeResult:
        from ggtui.viz.tui.widgets.node_table import NodeTable
        from ggtui.viz.tui.widgets.roofline_bar import RooflineBar

        yield RooflineBar()
        yield Static(id="nothing", markup=False)
        yield NodeTable(ascii_only=self._ascii)
        with Horizontal(id="filter"):
            yield Static(" / ")
            yield Input(placeholder="words of node, op and type", compact=True)

    @property
    def _ascii(self) -> bool:
        return bool(getattr(self.app, "ascii_only", False))

    @property
    def _table(self) -> NodeTable:
        from ggtui.viz.tui.widgets.node_table import NodeTable

        return self.query_one(NodeTable)

    @property
    def _bar(self) -> RooflineBar:
        from ggtui.viz.tui.widgets.roofline_bar import RooflineBar

        return self.query_one(RooflineBar)

    @property
    def _words(self) -> str:
        return self.query_one(Input).value

    # ---- what is shown ----

    def _trace(self) -> Trace:
        return self._frozen or self.live.trace()

    def _found(self) -> tuple[Stage, list[Row]] | None:
        """The stage that is shown and its rows: of a run under way its newest evaluations. None if nothing of it was
        recorded; where neither generation nor prompts were, as of a training, the first stage that was."""
        from ggtui.perf.stage import stages
        from ggtui.perf.table import rows

        key = (self.live.version, self._frozen is not None, self._stage, self._by)
        if self._known is not None and self._known[0] == key:
            return self._known[1]
        all_stages = stages(self._frozen) if self._frozen is not None else self.live.stages()
        found = next((stage for stage in all_stages if stage.name == self._stage), None)
        if all_stages and not any(stage.name in ("generation", "prompt") for stage in all_stages):
            found = all_stages[0]
        self._known = key, (found, rows(found, self._by)) if found is not None else None
        return self._known[1]

    def show(self) -> None:
        from ggtui.viz.tui.widgets.node_table import in_order, matching
        from ggtui.viz.tui.widgets.roofline_bar import Place, head

        self._end_measuring()
        found = self._found()
        self.set_class(found is None, "-nothing")
        if found is None:
            self.query_one("#nothing", Static).update(self._nothing())
            return
        stage, every = found
        if self.focused is None:  # it was not there to be focused
            self._table.focus()
        left = matching(every, self._words)
        lines = f"by {self._by}" if not self._words else f"{len(left)} of {len(every)} by {self._by}"
        if self.live.measuring is not None:
            lines = f"KL {self.live.measuring:.0%}, K ends"
        size = self.app.size
        place = Place(size.width, size.height, self._ascii)
        self._bar.show_text(
            head(stage, self._trace().run, place, lines, paused=self._frozen is not None, hint=self._hint())
        )
        order = in_order(left, self._by, self._sort, self._reverse)
        self._table.show_rows(every, order, self._by, self._sort, self._reverse)

    def _nothing(self) -> str:
        live = self.live
        if self.lacking:
            return self.lacking
        shown, other = ("a prompt", "generation") if self._stage == "prompt" else ("generation", "the prompts")
        kept = "the newest evaluations" if live.state != "saved" else "this run"
        why = "; they are not recorded: Ctrl+P, Profile on" if live.unprofiled and live.state != "saved" else ""
        return f"There are no node times of {shown} in {kept}{why}. p shows {other}."

    def _hint(self) -> str:
        """Why there is no limit, and what to do."""
        if self._measuring is not None:
            return "measuring what this machine allows ..."
        gone = self.live.state in ("saved", "gone")
        return "limits were not measured" if gone else "limits not measured; L measures them (2 s)"

    def _end_measuring(self) -> None:
        live = self.live
        if self._measuring is not None and (live.limits is not None or live.n_told != self._measuring):
            if live.limits is None and live.message:
                self.notify(printable_line(live.message), severity="error", markup=False)
            self._measuring = None

    def on_resize(self) -> None:
        if self.is_mounted and self.is_current:
            self.call_after_refresh(self.show)

    # ---- keys ----

    def action_sort(self) -> None:
        columns = self._table.columns
        if columns:
            at = columns.index(self._sort) if self._sort in columns else -1
            self._sort, self._reverse = columns[(at + 1) % len(columns)], False
            self.show()

    def action_reverse(self) -> None:
        self._reverse = not self._reverse
        self.show()

    def action_group(self) -> None:
        from ggtui.perf.table import BY

        before, self._by = self._by, BY[(BY.index(self._by) + 1) % len(BY)]
        if self._sort == before or (self._sort not in self._table.columns and self._sort != "time"):
            self._sort, self._reverse = "time", False
        self._table.forget_cursor()
        self.show()

    def action_stage(self) -> None:
        self._stage = "generation" if self._stage == "prompt" else "prompt"
        self.show()

    def action_pause(self) -> None:
        if self.live.state == "saved":
            self.notify("A saved run does not go on.", timeout=2)
            return
        if self._frozen is not None:
            self._frozen = None
        elif self._something():
            self._frozen = self.live.trace()
        self._known = None
        self.show()

    def action_filter(self) -> None:
        self.add_class("-filter")
        self.query_one(Input).focus()

    def action_unfilter(self) -> None:
        self.query_one(Input).value = ""
        self.remove_class("-filter")
        self._table.focus()
        self.show()

    def on_input_changed(self) -> None:
        self.show()

    def on_input_submitted(self) -> None:
        if not self._words:
            self.remove_class("-filter")
        self._table.focus()

    def action_measure(self) -> None:
        live = self.live
        if live.limits is not None or live.state in ("saved", "gone"):
            return
        if live.state != "idle":
            self.notify("Limits are measured while the model does not write.", timeout=3)
            return
        self._measuring = live.n_told
        self.send(MeasureLimits())
        self.show()

    def action_kl(self) -> None:
        live = self.live
        if live.measuring is not None:
            self.send(Stop())
        elif live.state == "idle" and self._something():
            live.measuring = 0.0
            self.send(MeasureKl())
            self.show()
        elif live.state in ("busy", "loading"):
            self.notify("What fewer bits cost is measured while the model does not write.", timeout=3)

    def on_node_table_chosen(self) -> None:
        self.action_details()

    def action_details(self) -> None:
        from ggtui.viz.tui.dialogs.node_details import NodeDetails, details

        row, by = self._table.cursor, self._by
        if row is None or self.has_class("-nothing"):
            return

        def told() -> Text | None:
            stage, rows = self._found() or (None, [])
            found = next((r for r in rows if r.key == row.key), None)
            return details(stage, found, by, ascii_only=self._ascii) if stage is not None and found else None

        self.app.push_screen(NodeDetails(self.live, self.send, told))

    def action_export(self) -> None:
        from ggtui.viz.tui.dialogs.export import Export

        if self._something():
            self.app.push_screen(Export(self.live, self.send, self._trace()))

    def action_compare(self) -> None:
        from ggtui.viz.tui.dialogs.compare import Compare

        def chosen(name: str) -> None:
            self._base = name

        if self._something():
            self.app.push_screen(Compare(self.live, self.send, self._trace(), self._base, chosen))

    def _something(self) -> bool:
        """Whether anything was recorded; else says so."""
        if not self._trace().tokens:
            self.notify("Nothing has run yet.", timeout=2)
        return bool(self._trace().tokens)
